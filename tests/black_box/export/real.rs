//! Real images, of microscopes and cameras: exported, converted and back, to the last bit.

use biomero_tests::{Result, imaging};

use super::stage::Stage;

#[test]
fn images_of_microscopes_and_cameras_come_through_to_the_last_bit() -> Result<()> {
    let stage = Stage::new()?;
    imaging::real_images(&stage.path(""))?;
    let images: Vec<String> = stage.names()?.into_iter().filter(|name| !name.ends_with(".npy")).collect();
    for image in &images {
        stage.there_and_back(image)?;
    }
    assert_eq!(images.len(), 15);
    stage.all_are_read(images.len())
}
