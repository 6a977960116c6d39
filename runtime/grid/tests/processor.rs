//! A processor in a real grid.

mod support;
#[path = "processor/trace.rs"]
mod trace;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Grid, LONG, until};

/// The names of what was called since, with what tells it apart.
fn calls(state: &Value, from: usize) -> Vec<String> {
    let calls = state["calls"].as_array().unwrap();
    let told = |call: &Value| {
        let group = call[2].as_str().map(|group| format!(" in {group}")).unwrap_or_default();
        match call[0].as_str().unwrap() {
            "setStatus" => format!("setStatus {}{group}", call[1][1].as_str().unwrap()),
            "create" => format!("create as {}", call[3].as_str().unwrap()),
            name => format!("{name}{group}"),
        }
    };
    calls[from..].iter().map(told).collect()
}

fn count(grid: &mut Grid) -> usize {
    grid.has("state", json!({}))["calls"].as_array().unwrap().len()
}

/// Waits until so many scripts have written their first word.
fn have_begun(grid: &Grid, scripts: usize) {
    until("the scripts' first word", || {
        let runs = std::fs::read_dir(grid.path("runs")).unwrap().map(|entry| entry.unwrap().path());
        let begun =
            runs.filter(|run| std::fs::read_to_string(run.join("out")).is_ok_and(|out| out == "begun\n"));
        (begun.count() == scripts).then_some(())
    });
}

#[test]
fn a_job_is_accepted_run_and_accounted_for_with_the_calls_that_omero_knows() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("cat config; echo $ICE_CONFIG; echo warn >&2");
    grid.knows_the_processor();
    assert_eq!(grid.has("type", json!({})), json!(["::omero::grid::Processor", true]));

    let before = count(&mut grid);
    let accepted = grid.has("accept", json!({}));
    assert_eq!((&accepted[0], &accepted[1]), (&json!(true), &json!(true)));
    // Nothing of our session goes with a call to whoever asked for it.
    assert_eq!(accepted[3], json!({}));
    let state = grid.has("state", json!({}));
    let expected = ["attach in 3", "jobFinished in 3", "validateScript in 3", "JobHandle.close in 3"];
    assert_eq!(calls(&state, before), expected);

    let before = count(&mut grid);
    grid.has("process", json!({ "parameters": {} }));
    grid.has("register", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(0));
    assert_eq!(grid.has("poll", json!({})), json!(0));
    let state = until("the callback", || {
        let state = grid.has("state", json!({}));
        (!state["said"].as_array().unwrap().is_empty()).then_some(state)
    });
    assert_eq!(state["said"], json!([[77, "finished", 0, {}]]));
    assert_eq!(state["status"]["77"], "Finished");
    let of_run: Vec<String> = calls(&state, before)
        .into_iter()
        .filter(|call| !["getSession", "truncate", "write"].contains(&call.as_str()))
        .collect();
    // The end of the session in which the job was taken and the beginning of the next are of two tasks.
    let expected = [
        "create as OMERO.processJob",
        "setCallback",
        "detachOnDestroy",
        "attach in 3",
        "jobFinished in 3",
        "validateScript in 3",
        "getInputs",
        "getScriptText",
        "setStatus Running in 3",
        "JobHandle.close in 3",
        "destroy",
        "create as OMERO.process",
        "setCallback",
        "detachOnDestroy",
        "getEventContext",
        "attach in 3",
        "setStatus Finished in 3",
        "JobHandle.close in 3",
        "saveAndReturnObject",
        "setFileId",
        "RawFileStore.close",
        "saveObject",
        "saveAndReturnObject",
        "setFileId",
        "RawFileStore.close",
        "saveObject",
        "destroy",
    ];
    let sorted = |mut calls: Vec<String>| {
        calls.sort();
        calls
    };
    assert_eq!(sorted(of_run.clone()), sorted(expected.map(str::to_owned).to_vec()));
    let at = |name: &str| of_run.iter().position(|call| call == name).unwrap();
    let order = [
        "create as OMERO.processJob",
        "getInputs",
        "getScriptText",
        "setStatus Running in 3",
        "setStatus Finished in 3",
        "saveAndReturnObject",
        "saveObject",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{of_run:?}");

    let files = state["files"].as_object().unwrap();
    let named = |name: &str| files.iter().find(|(_, file)| file["name"] == name).unwrap();
    let (stdout, out) = named("stdout");
    let text = out["head"].as_str().unwrap();
    let session = "11111111-2222-3333-4444-555555555555";
    let config = format!(
        "omero.job=77\nomero.user={session}\nomero.pass={session}\n\
         Ice.Default.Router=OMERO.Glacier2/router:tcp -p {} -h 127.0.0.1\n",
        grid.router_port
    );
    assert!(text.starts_with(&config), "{text}");
    assert_eq!(
        (&out["sha1"], &out["hasher"], &out["size"]),
        (&out["digest"], &json!("SHA1-160"), &out["written"])
    );
    let (stderr, err) = named("stderr");
    assert_eq!((&err["head"], &err["mimetype"]), (&json!("warn\n"), &json!("text/plain")));
    let id = |text: &String| text.parse::<i64>().unwrap();
    assert_eq!(state["links"], json!([["ScriptJob", 77, id(stdout)], ["ScriptJob", 77, id(stderr)]]));
    until("the run's folder to be removed", || {
        let mut left = std::fs::read_dir(grid.path("runs")).unwrap().map(|entry| entry.unwrap().file_name());
        left.all(|name| name == "lock").then_some(())
    });
    // Its session is ended when those who want its results have had time.
    until("the session to be ended", || {
        let state = grid.has("state", json!({}));
        calls(&state, before).contains(&"closeSession".to_owned()).then_some(())
    });
}

const PARSED: &str = r#"
import sys, uuid
import Ice, Glacier2, omero_ice, omero
config = dict(line.strip().split("=", 1) for line in open("config"))
if config.get("omero.scripts.parse") != "true": sys.exit(9)
with Ice.initialize([]) as communicator:
    # As OMERO's clients find it: by ICE_CONFIG.
    router = Glacier2.RouterPrx.checkedCast(communicator.getDefaultRouter())
    context = {"omero.client.uuid": str(uuid.uuid4()), "omero.agent": "OMERO.scripts"}
    session = router.createSession(config["omero.user"], config["omero.pass"], context)
    factory = omero.api.ServiceFactoryPrx.uncheckedCast(session.ice_router(router))
    parameters = omero.grid.JobParams()
    parameters.name, parameters.inputs = "Demo.py", {}
    parameters.inputs["N"] = omero.grid.Param()
    parameters.inputs["N"].prototype = omero.RInt(3)
    sessions = omero.api.ISessionPrx.uncheckedCast(factory.getSessionService().ice_router(router))
    sessions.setOutput(config["omero.user"], "omero.scripts.parse", omero.RInternal(parameters))
    router.destroySession()
sys.exit(1)
"#;

#[test]
fn the_parameters_of_a_script_are_what_it_says_of_itself() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script(PARSED);
    grid.knows_the_processor();
    let context = json!({ "omero.launcher": "python", "omero.process": "omero.processor.ProcessI" });
    let parsed = grid.has("parse", json!({ "job": 76, "context": context }));
    assert_eq!(parsed, json!(["Demo.py", { "N": 3 }]));
    let state = grid.has("state", json!({}));
    // A script that says what it takes ends with 1: so it is with OMERO's own processor too.
    assert_eq!(state["status"]["76"], "Error");
    assert!(state["links"].as_array().unwrap().iter().all(|link| link[0] == "ParseJob"), "{state}");
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_left_out_is_set() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("exit 4");
    grid.knows_the_processor();
    let missing = grid.ask("process", json!({ "parameters": { "N": [false, null] } })).unwrap_err();
    assert_eq!(missing, "ValidationException: Invalid parameters:\nMISSING INPUT for \"N\": \n");
    grid.has("process", json!({ "parameters": { "N": [false, 3] } }));
    assert_eq!(grid.has("wait", json!({})), json!(4));
    let state = grid.has("state", json!({}));
    let set = state["calls"].as_array().unwrap().iter().find(|call| call[0] == "setInput").unwrap();
    assert_eq!(set[1], json!(["N", 3]));
    assert_eq!(state["status"]["77"], "Error");

    let over = grid.ask("process", json!({})).unwrap_err();
    assert!(over.starts_with("ApiUsageException: job 77 is over already"), "{over}");
    grid.has("script", json!({ "set": { "sha1": "0000" } }));
    let other = grid.ask("process", json!({ "job": 78 })).unwrap_err();
    assert!(other.starts_with("InternalException: Sha1s don't match!"), "{other}");
    grid.has("script", json!({ "set": { "valid": false } }));
    assert_eq!(grid.has("accept", json!({ "job": 78 }))[0], json!(false));
    let unknown = grid.ask("process", json!({ "job": 78, "session": "99999999" })).unwrap_err();
    assert!(unknown.starts_with("InternalException: OMERO lets nobody in"), "{unknown}");
    grid.script("exit 0");
    let context = json!({ "omero.launcher": "/bin/rm" });
    let launcher = grid.ask("process", json!({ "job": 78, "context": context })).unwrap_err();
    assert!(launcher.contains("no launcher /bin/rm"), "{launcher}");
    let context = json!({ "omero.process": "omero.processor.MATLABProcessI" });
    let kind = grid.ask("process", json!({ "job": 78, "context": context })).unwrap_err();
    assert!(kind.contains("MATLABProcessI"), "{kind}");
}

#[test]
fn a_script_that_forks_and_ignores_term_is_cancelled_and_one_is_killed() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("trap '' TERM; sleep 1000 & echo begun; sleep 1000");
    grid.knows_the_processor();
    grid.has("process", json!({ "job": 77 }));
    grid.has("process", json!({ "job": 78 }));
    have_begun(&grid, 2);
    for job in [77, 78] {
        grid.has("register", json!({ "job": job }));
        assert_eq!(grid.has("poll", json!({ "job": job })), Value::Null);
    }
    assert_eq!(grid.has("running", json!({})), json!([77, 78]));
    assert_eq!(grid.has("cancel", json!({ "job": 77 })), json!(false));
    assert_eq!(grid.has("kill", json!({ "job": 78 })), json!(true));
    assert_eq!(grid.has("wait", json!({ "job": 77 })), json!(-9));
    assert_eq!(grid.has("wait", json!({ "job": 78 })), json!(-9));
    let state = until("the callbacks", || {
        let state = grid.has("state", json!({}));
        (state["said"].as_array().unwrap().len() == 4).then_some(state)
    });
    let mut said: Vec<String> = state["said"]
        .as_array()
        .unwrap()
        .iter()
        .map(|said| format!("{} {} {}", said[0], said[1], said[2]))
        .collect();
    said.sort();
    assert_eq!(
        said,
        ["77 \"cancelled\" false", "77 \"finished\" -9", "78 \"finished\" -9", "78 \"killed\" true"]
    );
    assert_eq!((&state["status"]["77"], &state["status"]["78"]), (&json!("Cancelled"), &json!("Error")));
}

#[test]
fn who_does_not_want_to_be_called_back_any_more_is_not() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("while [ ! -e go ]; do sleep 0.01; done");
    grid.knows_the_processor();
    grid.has("process", json!({}));
    grid.has("register", json!({}));
    grid.has("unregister", json!({}));
    grid.has("shutdown", json!({}));
    grid.has("wait", json!({}));
    assert_eq!(grid.has("running", json!({})), json!([]));
    assert_eq!(grid.has("state", json!({}))["said"], json!([]));
}

#[test]
fn fifty_jobs_at_once_end_each_with_its_status() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("sleep 0.2; grep omero.job config; exit 0");
    grid.knows_the_processor();
    let started: Vec<i64> = (100..150).map(|job| grid.begin("process", json!({ "job": job }))).collect();
    for id in started {
        grid.end(id).unwrap();
    }
    let waited: Vec<i64> = (100..150).map(|job| grid.begin("wait", json!({ "job": job }))).collect();
    for id in waited {
        assert_eq!(grid.end(id), Ok(json!(0)));
    }
    let state = grid.has("state", json!({}));
    for job in 100..150 {
        assert_eq!(state["status"][job.to_string()], "Finished");
        let link = state["links"].as_array().unwrap().iter().find(|link| link[1] == job).unwrap();
        assert_eq!(state["files"][link[2].to_string()]["head"], format!("omero.job={job}\n"));
    }
}

#[test]
fn a_job_waits_until_there_is_room_and_has_the_status_that_is_true() {
    let mut grid = Grid::start();
    let _processor = grid.processor_with("AT_ONCE", "1");
    let go = grid.path("go");
    grid.script(&format!("while [ ! -e {} ]; do sleep 0.01; done", go.display()));
    grid.knows_the_processor();
    for job in [77, 78, 79] {
        grid.has("process", json!({ "job": job }));
    }
    assert_eq!(grid.has("running", json!({})), json!([77, 78, 79]));
    assert_eq!(grid.has("state", json!({}))["status"], json!({ "77": "Running" }));
    grid.has("cancel", json!({ "job": 78 }));
    assert_eq!(grid.has("wait", json!({ "job": 78 })), json!(-15));
    std::fs::write(go, "").unwrap();
    assert_eq!(grid.has("wait", json!({ "job": 79 })), json!(0));
    let state = grid.has("state", json!({}));
    assert_eq!(state["status"], json!({ "77": "Finished", "78": "Cancelled", "79": "Finished" }));
    let of_79 = |call: &&Value| call[0] == "setStatus" && call[1][0] == 79;
    let said: Vec<&Value> =
        state["calls"].as_array().unwrap().iter().filter(of_79).map(|call| &call[1][1]).collect();
    assert_eq!(said, ["Running", "Finished"]);
}

#[test]
fn an_output_that_omero_has_is_not_sent_again() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("echo out; echo err >&2");
    grid.knows_the_processor();
    grid.has("fail", json!({ "set": "stderr" }));
    grid.has("process", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(0));
    let state = until("the second output", || {
        let state = grid.has("state", json!({}));
        (state["links"].as_array().unwrap().len() > 1).then_some(state)
    });
    let names: Vec<&Value> = state["files"].as_object().unwrap().values().map(|file| &file["name"]).collect();
    assert_eq!(names, ["stdout", "stderr"]);
    assert_eq!(state["status"]["77"], "Finished");
}

#[test]
fn a_large_output_goes_to_omero_in_large_blocks() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    // Of a gigabyte the processor of these tests keeps 20 MiB.
    grid.script("head -c 1073741824 /dev/zero");
    grid.knows_the_processor();
    grid.has("process", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(0));
    let state = grid.has("state", json!({}));
    let files: Vec<&Value> = state["files"].as_object().unwrap().values().collect();
    let [file] = files.as_slice() else { panic!("{state}") };
    assert_eq!((&file["sha1"], &file["size"]), (&file["digest"], &file["written"]));
    let blocks = file["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 6 && blocks[0].as_i64().unwrap() >= 1 << 20, "{blocks:?}");
}

#[test]
fn a_script_whose_session_has_ended_is_ended_and_its_job_has_a_status() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("sleep 1000");
    grid.knows_the_processor();
    grid.has("process", json!({}));
    grid.has("expire", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(-15));
    assert_eq!(grid.has("state", json!({}))["status"]["77"], "Cancelled");
}

#[test]
fn a_server_that_cannot_say_whether_a_session_is_there_ends_no_script() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    let go = grid.path("go");
    grid.script(&format!("while [ ! -e {} ]; do sleep 0.01; done", go.display()));
    grid.knows_the_processor();
    grid.has("fail", json!({ "set": "getSession" }));
    grid.has("process", json!({}));
    until("three questions", || {
        let asked = calls(&grid.has("state", json!({})), 0);
        (asked.iter().filter(|call| *call == "getSession").count() >= 3).then_some(())
    });
    std::fs::write(go, "").unwrap();
    assert_eq!(grid.has("wait", json!({})), json!(0));
    assert_eq!(grid.has("state", json!({}))["status"]["77"], "Finished");
}

#[test]
fn a_processor_that_is_killed_is_followed_by_one_that_accounts_for_its_jobs() {
    let mut grid = Grid::start();
    let mut processor = grid.processor();
    let go = grid.path("go");
    grid.script(&format!("echo begun; while [ ! -e {} ]; do sleep 0.01; done; exit 5", go.display()));
    grid.knows_the_processor();
    grid.has("process", json!({}));
    // What its keeper had not begun yet would be over.
    have_begun(&grid, 1);
    processor.kill();
    let before = count(&mut grid);
    let _next = grid.processor();
    until("the next processor", || {
        let state = grid.has("state", json!({}));
        calls(&state, before).contains(&"addProcessor".to_owned()).then_some(())
    });
    assert_eq!(grid.has("running", json!({})), json!([77]));
    std::fs::write(go, "").unwrap();
    let state = until("the job's status", || {
        let state = grid.has("state", json!({}));
        (state["status"]["77"] == "Error" && !state["links"].as_array().unwrap().is_empty()).then_some(state)
    });
    let file = state["files"].as_object().unwrap().values().next().unwrap();
    assert_eq!(file["head"], "begun\n");
}

#[test]
fn omero_that_was_away_is_told_what_ended_meanwhile() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.script("while [ ! -e go ]; do sleep 0.01; done; exit 0");
    grid.knows_the_processor();
    grid.has("process", json!({}));
    grid.stop_blitz();
    let mut runs = std::fs::read_dir(grid.path("runs")).unwrap().map(|entry| entry.unwrap().path());
    let run = runs.find(|path| path.is_dir()).unwrap();
    std::fs::write(run.join("go"), "").unwrap();
    until("the script's end", || run.join("outcome").exists().then_some(()));
    grid.start_blitz();
    grid.script("exit 0");
    grid.knows_the_processor();
    until("the job's status", || (grid.has("state", json!({}))["status"]["77"] == "Finished").then_some(()));
    // The processor takes jobs again.
    grid.has("process", json!({ "job": 78 }));
    assert_eq!(grid.has("wait", json!({ "job": 78 })), json!(0));
}

#[test]
fn a_node_starts_the_processor_which_is_active_and_stops_at_once() {
    let mut grid = Grid::start();
    let mut node = grid.node();
    grid.server_is("active");
    let processor = grid.knows_the_processor();
    assert!(processor.contains("@ Processor-0.ProcessorAdapter"), "{processor}");
    assert!(
        grid.admin("object describe Processor")
            .is_some_and(|object| object.contains("::omero::grid::Processor"))
    );
    grid.script("echo from the node");
    let process = grid.has("process", json!({}));
    assert!(process.as_str().unwrap().contains("@ Processor-0.ProcessorAdapter"), "{process}");
    assert_eq!(grid.has("wait", json!({})), json!(0));
    // What runs goes on: a script that holds the node's pipe would make it wait.
    grid.script("sleep 1000");
    grid.has("process", json!({ "job": 78 }));
    let took = node.stop();
    assert!(took < Duration::from_secs(2), "the node takes {took:?}: {}", grid.log());
    let left = std::fs::read_dir(grid.path("runs")).unwrap().map(|entry| entry.unwrap().path());
    for run in left.filter(|path| path.is_dir()) {
        std::fs::write(run.join("orders"), "k").unwrap();
    }
}

#[test]
fn a_master_that_was_restarted_knows_the_processor_again() {
    let mut grid = Grid::start();
    let _node = grid.node();
    grid.server_is("active");
    grid.knows_the_processor();
    grid.stop_blitz();
    grid.stop_registry();
    grid.start_registry();
    grid.start_blitz();
    grid.script("exit 3");
    grid.knows_the_processor();
    grid.server_is("active");
    grid.has("process", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(3));
}

#[test]
fn a_second_processor_is_refused() {
    let mut grid = Grid::start();
    let _processor = grid.processor();
    grid.knows_the_processor();
    let mut second = grid.processor();
    let begun = Instant::now();
    let status = until("the second to end", || second.0.try_wait().unwrap());
    assert!(!status.success() && begun.elapsed() < LONG);
    assert!(grid.log().contains("another processor runs scripts in"), "{}", grid.log());
}

#[test]
fn a_processor_that_ends_its_scripts_tells_omero_of_each() {
    let mut grid = Grid::start();
    let mut processor = grid.processor_with("END_SCRIPTS", "1");
    grid.script("echo begun; trap 'exit 0' TERM; while :; do sleep 0.01; done");
    grid.knows_the_processor();
    grid.has("process", json!({ "job": 77 }));
    grid.has("process", json!({ "job": 78 }));
    processor.stop();
    let state = grid.has("state", json!({}));
    assert_eq!(state["status"], json!({ "77": "Cancelled", "78": "Cancelled" }));
    assert!(calls(&state, 0).contains(&"removeProcessor".to_owned()), "{state}");
    let left: Vec<_> =
        std::fs::read_dir(grid.path("runs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_processor_that_leaves_its_scripts_ends_at_once_and_the_next_answers_for_them() {
    let mut grid = Grid::start();
    let mut node = grid.node();
    grid.script("echo begun; while :; do sleep 0.01; done");
    grid.knows_the_processor();
    grid.has("process", json!({}));
    assert!(node.stop() < Duration::from_secs(2));
    assert_eq!(grid.has("state", json!({}))["status"]["77"], "Running");
    let _node = grid.node();
    until("the next processor", || {
        let state = grid.has("state", json!({}));
        (calls(&state, 0).iter().filter(|call| *call == "addProcessor").count() == 2).then_some(())
    });
    assert_eq!(grid.has("running", json!({})), json!([77]));
    // Who has had it run since then has a proxy to it that leads to the next processor.
    grid.has("cancel", json!({}));
    assert_eq!(grid.has("wait", json!({})), json!(-15));
    assert_eq!(grid.has("state", json!({}))["status"]["77"], "Cancelled");
}
