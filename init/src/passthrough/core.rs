//! What to do when, as a pure function of what has happened: no process, no clock, no signal is touched here.

use std::time::{Duration, Instant};

use biomero_hooks::Exit;

use super::Options;
use crate::reaper::{Pid, exit_code};
use crate::signals::Signal;

/// Something that has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A signal arrived.
    Signal(Signal),
    /// A process was collected.
    Ended(Pid, Exit),
    /// The deadline that was asked for has passed.
    Deadline,
    /// What the command started is all gone.
    Alone,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A received signal becomes another one (`None`: it is dropped).
    Rewritten(Signal, Option<Signal>),
    /// Send a signal to the command.
    Forward(Signal),
    /// Send a signal to all that the command left behind.
    Sweep(Signal),
    /// Stop ourselves, as the terminal stopped the command.
    Suspend,
    /// The main process was collected.
    MainEnded(Pid, Exit),
    /// Another process was collected.
    OrphanEnded(Pid),
    /// Wait for nothing longer than this from now.
    Arm(Duration),
    /// The TERM that was held back for this long.
    TermHeld(Duration),
    /// The deadline passed: what is left is killed.
    KillingTheRest,
    /// End with this code.
    Finish(u8),
}

/// Where one command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// A stop signal is held back.
    Holding(Signal),
    /// The main process has ended; descendants may go on as long as they like.
    Draining(u8),
    /// TERM went to the rest; KILL follows at the deadline.
    Ending(u8),
    /// KILL went to the rest.
    Killing(u8),
}

/// The state machine of one command.
#[derive(Debug)]
pub(super) struct Core<'a> {
    options: &'a Options,
    main: Pid,
    phase: Phase,
    /// HUP and CONT that our own detaching from the terminal causes.
    swallow: Vec<Signal>,
}

/// How long the kernel may take to remove what was killed.
const AFTER_KILL: Duration = Duration::from_secs(2);

impl<'a> Core<'a> {
    pub(super) const fn new(options: &'a Options, main: Pid, swallow: Vec<Signal>) -> Self {
        Self { options, main, phase: Phase::Running, swallow }
    }

    /// Whether the end of everything that the command started is of interest now.
    pub(super) const fn waits_to_be_alone(&self) -> bool {
        matches!(self.phase, Phase::Draining(_) | Phase::Ending(_) | Phase::Killing(_))
    }

    pub(super) fn on(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Signal(signal) => self.on_signal(signal),
            Event::Ended(pid, exit) if pid == self.main && !self.waits_to_be_alone() => {
                self.on_main_ended(pid, exit)
            }
            Event::Ended(pid, _) => vec![Action::OrphanEnded(pid)],
            Event::Deadline => self.on_deadline(),
            Event::Alone => match self.phase {
                Phase::Draining(code) | Phase::Ending(code) | Phase::Killing(code) => {
                    vec![Action::Finish(code)]
                }
                Phase::Running | Phase::Holding(_) => Vec::new(),
            },
        }
    }

    fn on_signal(&mut self, received: Signal) -> Vec<Action> {
        if received == Signal::CHLD {
            return Vec::new();
        }
        if let Some(at) = self.swallow.iter().position(|signal| *signal == received) {
            self.swallow.remove(at);
            return vec![Action::Rewritten(received, None)];
        }
        let mut actions = Vec::new();
        let signal = self.options.rewrites.apply(received);
        if signal != Some(received) {
            actions.push(Action::Rewritten(received, signal));
        }
        if let Some(signal) = signal {
            match (self.phase, self.options.term_delay) {
                (Phase::Running, delay) if signal == Signal::TERM && !delay.is_zero() => {
                    self.phase = Phase::Holding(signal);
                    return [actions, vec![Action::TermHeld(delay), Action::Arm(delay)]].concat();
                }
                // Who asks twice does not want to wait.
                (Phase::Holding(held), _) if signal == Signal::TERM => {
                    self.phase = Phase::Running;
                    actions.push(Action::Forward(held));
                }
                (Phase::Running | Phase::Holding(_), _) => actions.push(Action::Forward(signal)),
                (Phase::Draining(_) | Phase::Ending(_) | Phase::Killing(_), _) => {
                    actions.push(Action::Sweep(signal))
                }
            }
        }
        if self.options.suspend && matches!(received, Signal::TSTP | Signal::TTIN | Signal::TTOU) {
            actions.push(Action::Suspend);
        }
        actions
    }

    fn on_main_ended(&mut self, pid: Pid, exit: Exit) -> Vec<Action> {
        let code = self.options.exit_code(exit_code(exit));
        let mut actions = vec![Action::MainEnded(pid, exit)];
        if self.options.wait_descendants {
            self.phase = Phase::Draining(code);
            return actions;
        }
        match self.options.rest {
            Rest::Leave => actions.push(Action::Finish(code)),
            Rest::Terminate => {
                let term = self.options.rewrites.apply(Signal::TERM);
                if term != Some(Signal::TERM) {
                    actions.push(Action::Rewritten(Signal::TERM, term));
                }
                actions.extend(term.map(Action::Sweep));
                actions.push(Action::Finish(code));
            }
            Rest::Stop { deadline } => {
                self.phase = Phase::Ending(code);
                actions.extend([
                    Action::Sweep(Signal::TERM),
                    Action::Sweep(Signal::CONT),
                    Action::Arm(deadline),
                ]);
            }
        }
        actions
    }

    fn on_deadline(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Running | Phase::Draining(_) => Vec::new(),
            Phase::Holding(signal) => {
                self.phase = Phase::Running;
                vec![Action::Forward(signal)]
            }
            Phase::Ending(code) => {
                self.phase = Phase::Killing(code);
                vec![Action::KillingTheRest, Action::Sweep(Signal::KILL), Action::Arm(AFTER_KILL)]
            }
            Phase::Killing(code) => vec![Action::Finish(code)],
        }
    }
}

/// What happens to what the command left behind when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing, as tini does; the kernel ends it when we are PID 1.
    Leave,
    /// One TERM, and we do not wait, as dumb-init does.
    Terminate,
    /// TERM, then KILL after the deadline, and we wait for it.
    Stop {
        /// Time between the two.
        deadline: Duration,
    },
}

/// The point in time that an armed deadline stands for.
pub(super) fn deadline_of(actions: &[Action], now: Instant, current: Option<Instant>) -> Option<Instant> {
    actions.iter().fold(current, |current, action| match action {
        Action::Arm(after) => now.checked_add(*after),
        _ => current,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passthrough::Rewrites;

    const MAIN: Pid = 7;
    const TEN: Duration = Duration::from_secs(10);

    fn told(options: &Options, events: &[Event]) -> String {
        let mut core = Core::new(options, MAIN, Vec::new());
        events.iter().map(|event| format!("{event:?} -> {:?}\n", core.on(*event))).collect()
    }

    fn rewriting(rules: &[&str]) -> Rewrites {
        let mut rewrites = Rewrites::default();
        for rule in rules {
            rewrites.add(rule).unwrap();
        }
        rewrites
    }

    #[test]
    fn signals_are_forwarded_rewritten_or_dropped() {
        let options =
            Options { rewrites: rewriting(&["TERM:INT", "1:0", "TSTP:STOP"]), ..Options::default() };
        let signals =
            [Signal::USR1, Signal::TERM, Signal::HUP, Signal::CHLD, Signal::TSTP].map(Event::Signal);
        insta::assert_snapshot!(told(&options, &signals), @r#"
        Signal(SIGUSR1) -> [Forward(SIGUSR1)]
        Signal(SIGTERM) -> [Rewritten(SIGTERM, Some(SIGINT)), Forward(SIGINT)]
        Signal(SIGHUP) -> [Rewritten(SIGHUP, None)]
        Signal(SIGCHLD) -> []
        Signal(SIGTSTP) -> [Rewritten(SIGTSTP, Some(SIGSTOP)), Forward(SIGSTOP), Suspend]
        "#);
    }

    #[test]
    fn what_is_left_of_the_group_gets_term_and_then_kill() {
        let options = Options { rest: Rest::Stop { deadline: TEN }, ..Options::default() };
        let ended = Event::Ended(MAIN, Exit::Code(3));
        insta::assert_snapshot!(told(&options, &[ended, Event::Signal(Signal::INT), Event::Alone]), @r#"
        Ended(7, Code(3)) -> [MainEnded(7, Code(3)), Sweep(SIGTERM), Sweep(SIGCONT), Arm(10s)]
        Signal(SIGINT) -> [Sweep(SIGINT)]
        Alone -> [Finish(3)]
        "#);
        insta::assert_snapshot!(told(&options, &[ended, Event::Deadline, Event::Ended(9, Exit::Signal(9)), Event::Alone]), @r#"
        Ended(7, Code(3)) -> [MainEnded(7, Code(3)), Sweep(SIGTERM), Sweep(SIGCONT), Arm(10s)]
        Deadline -> [KillingTheRest, Sweep(SIGKILL), Arm(2s)]
        Ended(9, Signal(9)) -> [OrphanEnded(9)]
        Alone -> [Finish(3)]
        "#);
        insta::assert_snapshot!(told(&options, &[ended, Event::Deadline, Event::Deadline]), @r#"
        Ended(7, Code(3)) -> [MainEnded(7, Code(3)), Sweep(SIGTERM), Sweep(SIGCONT), Arm(10s)]
        Deadline -> [KillingTheRest, Sweep(SIGKILL), Arm(2s)]
        Deadline -> [Finish(3)]
        "#);
    }

    #[test]
    fn an_orphan_s_end_is_not_the_command_s() {
        let options = Options::default();
        insta::assert_snapshot!(told(&options, &[Event::Ended(9, Exit::Code(1)), Event::Alone]), @r#"
        Ended(9, Code(1)) -> [OrphanEnded(9)]
        Alone -> []
        "#);
    }

    #[test]
    fn descendants_are_waited_for_when_asked() {
        let options = Options { wait_descendants: true, ..Options::default() };
        let events = [
            Event::Ended(MAIN, Exit::Signal(15)),
            Event::Signal(Signal::TERM),
            Event::Ended(9, Exit::Code(0)),
            Event::Alone,
        ];
        insta::assert_snapshot!(told(&options, &events), @r#"
        Ended(7, Signal(15)) -> [MainEnded(7, Signal(15))]
        Signal(SIGTERM) -> [Sweep(SIGTERM)]
        Ended(9, Code(0)) -> [OrphanEnded(9)]
        Alone -> [Finish(143)]
        "#);
    }

    #[test]
    fn term_is_held_back_for_the_delay_and_a_second_one_ends_the_delay() {
        let options = Options { term_delay: TEN, ..Options::default() };
        let term = Event::Signal(Signal::TERM);
        insta::assert_snapshot!(told(&options, &[term, Event::Signal(Signal::HUP), Event::Deadline]), @r#"
        Signal(SIGTERM) -> [TermHeld(10s), Arm(10s)]
        Signal(SIGHUP) -> [Forward(SIGHUP)]
        Deadline -> [Forward(SIGTERM)]
        "#);
        insta::assert_snapshot!(told(&options, &[term, term]), @r#"
        Signal(SIGTERM) -> [TermHeld(10s), Arm(10s)]
        Signal(SIGTERM) -> [Forward(SIGTERM)]
        "#);
        insta::assert_snapshot!(told(&options, &[term, Event::Ended(MAIN, Exit::Code(0)), Event::Deadline, Event::Alone]), @r#"
        Signal(SIGTERM) -> [TermHeld(10s), Arm(10s)]
        Ended(7, Code(0)) -> [MainEnded(7, Code(0)), Sweep(SIGTERM), Sweep(SIGCONT), Arm(5s)]
        Deadline -> [KillingTheRest, Sweep(SIGKILL), Arm(2s)]
        Alone -> [Finish(0)]
        "#);
    }

    #[test]
    fn the_ends_of_peers_are_as_theirs() {
        let ended = Event::Ended(MAIN, Exit::Signal(15));
        let tini = Options { rest: Rest::Leave, remapped: vec![143], ..Options::default() };
        insta::assert_snapshot!(told(&tini, &[ended]), @"Ended(7, Signal(15)) -> [MainEnded(7, Signal(15)), Finish(0)]");
        let dumb_init =
            Options { rest: Rest::Terminate, rewrites: rewriting(&["15:2"]), ..Options::default() };
        insta::assert_snapshot!(told(&dumb_init, &[ended]), @"Ended(7, Signal(15)) -> [MainEnded(7, Signal(15)), Rewritten(SIGTERM, Some(SIGINT)), Sweep(SIGINT), Finish(143)]");
    }

    #[test]
    fn the_hangup_of_our_own_detaching_is_swallowed_once() {
        let options = Options::default();
        let mut core = Core::new(&options, MAIN, vec![Signal::HUP, Signal::CONT]);
        let hangup = Event::Signal(Signal::HUP);
        assert_eq!(core.on(hangup), [Action::Rewritten(Signal::HUP, None)]);
        assert_eq!(core.on(hangup), [Action::Forward(Signal::HUP)]);
    }
}
