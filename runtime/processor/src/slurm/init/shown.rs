//! What became of each item, for people and for programs.

use biomero_events::json::Value;
use biomero_slurm::setup::item::{Became, Item};
use biomero_slurm::setup::pull::{ImageStatus, Launched, State};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ended::Ended;
use crate::output::{Answer, inert};
use crate::table::Tone;

/// One line on standard error, where somebody looks at it.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(answer: &Answer) -> Self {
        let target =
            if answer.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {elapsed_precise}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn at(&mut self, images: &[ImageStatus]) {
        let count = |state| images.iter().filter(|image| image.state == state).count();
        let pulling = images.iter().find(|image| image.state == State::Pulling);
        let which = pulling.map(|image| format!(": {}", inert(&name(image)))).unwrap_or_default();
        self.0.set_message(format!("{} of {} images are there{which}", count(State::Done), images.len()));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn name(image: &ImageStatus) -> String {
    let file = image.wanted.target.file_name().unwrap_or(image.wanted.target.as_os_str());
    file.to_string_lossy().into_owned()
}

const fn tone_of_item(became: Became) -> Tone {
    match became {
        Became::There => Tone::Faint,
        Became::Made | Became::Changed => Tone::Good,
        Became::WouldMake | Became::WouldChange | Became::Kept => Tone::Busy,
        Became::Failed => Tone::Bad,
    }
}

const fn tone_of_image(state: State) -> Tone {
    match state {
        State::Done => Tone::Good,
        State::Pending | State::Pulling => Tone::Busy,
        State::Failed => Tone::Bad,
        State::Absent => Tone::Faint,
    }
}

/// Writes all of it.
pub(super) fn write(
    items: &[Item],
    images: &[ImageStatus],
    launched: &Launched,
    answer: &mut Answer,
) -> Result<(), Ended> {
    if answer.is_json() {
        return answer.object(object(items, images, launched));
    }
    let colour = answer.colour();
    for item in items {
        let word = tone_of_item(item.became).paint(&format!("{:12}", item.became.word()), colour);
        let told = item.told.as_deref().map(|told| format!(": {}", inert(told))).unwrap_or_default();
        answer.line(format!("{word}  {} {}{told}", item.kind, inert(&item.name)))?;
        if let Some(remedy) = &item.remedy {
            answer.line(format!("{:14}to do: {}", "", inert(remedy)))?;
        }
    }
    for image in images {
        let word = tone_of_image(image.state).paint(&format!("{:12}", image.state.word()), colour);
        let size = image.bytes.map(|bytes| format!(", {} MiB", bytes.div_ceil(1 << 20))).unwrap_or_default();
        let reason = image.reason.as_deref().map(|told| format!(": {}", inert(told))).unwrap_or_default();
        let source = image.wanted.source.to_string();
        answer.line(format!(
            "{word}  image {} from {}{size}{reason}",
            inert(&name(image)),
            inert(&source)
        ))?;
        if image.state == State::Failed {
            for line in image.log.lines() {
                answer.line(format!("{:14}{}", "", inert(line)))?;
            }
        }
    }
    match launched {
        Launched::Nobody => {}
        Launched::Process { id, images } => {
            answer.line(format!("{images} images are pulled on the login node by process {id}; `processor slurm init --status` tells how far"))?;
        }
        Launched::Job { id, images } => {
            answer.line(format!(
                "{images} images are pulled by job {id}; `processor slurm init --status` tells how far"
            ))?;
        }
    }
    Ok(())
}

fn object(items: &[Item], images: &[ImageStatus], launched: &Launched) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            [
                ("kind", item.kind.into()),
                ("name", item.name.as_str().into()),
                ("became", item.became.word().into()),
                ("told", item.told.clone().into()),
                ("remedy", item.remedy.clone().into()),
            ]
            .into()
        })
        .collect();
    let number = |number: Option<i64>| number.map_or(Value::Null, Value::from);
    let images: Vec<Value> = images
        .iter()
        .map(|image| {
            [
                ("of", image.wanted.of.as_str().into()),
                ("path", image.wanted.target.to_string_lossy().as_ref().into()),
                ("source", image.wanted.source.to_string().into()),
                ("state", image.state.word().into()),
                ("reason", image.reason.clone().into()),
                ("bytes", number(image.bytes.and_then(|bytes| bytes.try_into().ok()))),
                ("sha256", image.digest.clone().into()),
                ("attempt", i64::from(image.attempt).into()),
                ("code", number(image.code.map(i64::from))),
                ("started", number(image.started)),
                ("changed", number(image.changed)),
                ("host", image.host.clone().into()),
                ("job", image.job.clone().into()),
                ("log", image.log.as_str().into()),
            ]
            .into()
        })
        .collect();
    let launched: Value = match launched {
        Launched::Nobody => Value::Null,
        Launched::Process { id, images } => of_launched("process", *id, *images),
        Launched::Job { id, images } => of_launched("job", *id, *images),
    };
    [("items", items.into()), ("images", images.into()), ("launched", launched)].into()
}

fn of_launched(by: &str, id: u32, images: usize) -> Value {
    let images = i64::try_from(images).unwrap_or(i64::MAX);
    [("by", by.into()), ("id", i64::from(id).into()), ("images", images.into())].into()
}
