//! `processor convert`: an image becomes an OME-TIFF.

use biomero_convert::command_line::Convert;
use biomero_convert::work::Interruption;

use crate::ended::Ended;
use crate::exit_code;
use crate::output::{Answer, inert};
use crate::progress::Bytes;

pub(super) fn run(asked: &Convert, answer: &mut Answer) -> Result<u8, Ended> {
    let interruption = Interruption::new()?;
    let bar = Bytes::new("converting");
    let converted = biomero_convert::run(asked, &interruption, &|what, done, of| bar.doing(what, done, of));
    bar.clear();
    let converted = converted?;
    if answer.is_json() {
        answer.line(converted.object().map_err(std::io::Error::other)?)?;
    } else {
        answer.line(converted.line(&inert(&converted.path.to_string_lossy())))?;
    }
    answer.flush()?;
    Ok(exit_code::SUCCESS)
}
