//! Every type of samples in every shape that may be hard, and every content that may be.

use biomero_tests::{Result, imaging};

use super::stage::Stage;

#[test]
fn every_type_shape_and_content_comes_through_to_the_last_bit() -> Result<()> {
    let stage = Stage::new()?;
    imaging::run("table.py", &[&stage.path("")])?;
    let images: Vec<String> = stage.names()?.into_iter().filter(|name| !name.ends_with(".npy")).collect();
    for image in &images {
        stage.there_and_back(image)?;
    }
    assert_eq!(images.len(), 8 * 8 + 4 * 2);
    stage.all_are_read(images.len())
}
