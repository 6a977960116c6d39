//! The answer of a component as JSON, for a file that says what is expected of it: `{"effects": […]}` or
//! `{"error": "…"}`. Nothing is masked: what is secret in a recorded context was masked when it was recorded.

use serde_json::{Map, Value, json};
use similar::TextDiff;

use super::guest::FileContent;
use crate::effect::{Effect, Text};
use crate::hook::HookError;

/// The answer as JSON.
pub fn answer_json(answer: &Result<Vec<Effect>, HookError>) -> Value {
    match answer {
        Ok(effects) => json!({ "effects": effects.iter().map(effect_json).collect::<Vec<_>>() }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// How an answer differs from the expected one, line by line; none where it does not.
pub fn unexpected(expected: &Value, found: &Value) -> Option<String> {
    let (expected, found) = (format!("{expected:#}\n"), format!("{found:#}\n"));
    if expected == found {
        return None;
    }
    let diff = TextDiff::configure().timeout(std::time::Duration::from_secs(2)).diff_lines(&expected, &found);
    Some(diff.unified_diff().context_radius(3).header("expected", "found").to_string())
}

fn effect_json(effect: &Effect) -> Value {
    let time = |deadline| biomero_config::duration::display(deadline);
    match effect {
        Effect::Directory { path, mode, owner } => {
            json!({ "effect": "directory", "path": path, "mode": format!("{mode:o}"), "owner": owner.name() })
        }
        Effect::File(file) => {
            let mut value = json!({
                "effect": "file", "path": file.path, "mode": format!("{:o}", file.mode),
                "owner": file.owner.name(),
            });
            match FileContent::of(file.content.bytes().to_vec()) {
                FileContent::Text(text) => value["content"] = text.into(),
                FileContent::Hexadecimal(bytes) => {
                    value["hexadecimal"] = crate::digest::hexadecimal(&bytes).into();
                }
            }
            if file.content.is_secret() {
                value["secret"] = true.into();
            }
            if let Some(lock) = &file.lock {
                value["lock"] = json!({ "path": lock.path, "based_on": lock.based_on });
            }
            value
        }
        Effect::Remove { path } => json!({ "effect": "remove", "path": path }),
        Effect::MoveAside { path, to, reason } => {
            json!({ "effect": "move-aside", "path": path, "to": to, "reason": reason })
        }
        Effect::Variable { name, value } => {
            let clear = value.as_ref().map(Text::reveal);
            let mut answer = json!({ "effect": "variable", "name": name, "value": clear });
            if matches!(value, Some(Text::Secret(_))) {
                answer["secret"] = true.into();
            }
            answer
        }
        Effect::WaitTcp { address, deadline } => {
            json!({ "effect": "wait-tcp", "address": address, "deadline": time(*deadline) })
        }
        Effect::WaitPath { path, deadline } => {
            json!({ "effect": "wait-path", "path": path, "deadline": time(*deadline) })
        }
        Effect::Command(command) => {
            let environment: Map<String, Value> = command
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.reveal().into()))
                .collect();
            json!({
                "effect": "command", "argv": command.argv, "environment": environment,
                "directory": command.directory, "as_service_user": command.as_service_user,
                "deadline": time(command.deadline), "says": command.says,
            })
        }
        Effect::Notice(notice) => json!({ "effect": "notice", "text": notice }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use biomero_config::Secret;

    use super::*;
    use crate::effect::{CommandEffect, Content, FileEffect, Lock, Owner};

    #[test]
    fn every_kind_of_effect_has_its_object() {
        let file = |content| {
            Effect::File(FileEffect {
                path: "/etc/motd".into(),
                content,
                mode: 0o640,
                owner: Owner::Init,
                lock: Some(Lock { path: "/etc/motd.lock".into(), based_on: None }),
            })
        };
        let effects = vec![
            Effect::Directory { path: "/srv".into(), mode: 0o750, owner: Owner::ServiceUser },
            file(Content::Public(b"hello\n".to_vec())),
            file(Content::secret(vec![0xff])),
            Effect::Remove { path: "/srv/old".into() },
            Effect::MoveAside { path: "/srv/a".into(), to: "/srv/b".into(), reason: "in the way".into() },
            Effect::Variable { name: "A".into(), value: Some(Text::Secret(Secret::new("b".into()))) },
            Effect::Variable { name: "B".into(), value: None },
            Effect::WaitTcp { address: "db:5432".into(), deadline: Duration::from_secs(90) },
            Effect::WaitPath { path: "/ready".into(), deadline: Duration::from_millis(1500) },
            Effect::Command(CommandEffect {
                argv: vec!["true".into()],
                environment: vec![("A".into(), Text::from("b"))],
                directory: None,
                as_service_user: true,
                deadline: Duration::from_secs(1),
                says: "nothing".into(),
            }),
            Effect::Notice("look".into()),
        ];
        insta::assert_snapshot!(format!("{:#}", answer_json(&Ok(effects))));
    }

    #[test]
    fn a_difference_is_told_by_lines_and_the_same_is_no_difference() {
        let one = answer_json(&Ok(vec![Effect::Notice("one".into())]));
        let two = answer_json(&Ok(vec![Effect::Notice("two".into())]));
        assert_eq!(unexpected(&one, &one), None);
        let told = unexpected(&one, &two).unwrap();
        assert!(told.contains("-      \"text\": \"one\"\n+      \"text\": \"two\""), "{told}");
    }
}
