//! Loop that serves a guest's devices: created only if the guest has devices.
//!
//! While the guest waits, the vCPU thread has nothing else to do, and serves them: no other thread has to be woken, and all
//! completions reach the guest at once. While the guest runs, a device thread serves them (`DeviceThread`). `Handoff`
//! passes them from one thread to the other.

use super::device_thread::DeviceThread;
use super::handoff::Handoff;
use super::notifier::Notifier;
use super::ring::Broken;
use super::wait_times::WaitTimes;
use super::{Progress, Served};
use crate::confine::{Crew, Error};
use crate::host::signals;
use crate::host::time::monotonic_ns;
use crate::vm::fault::Fault;
use husk_abi::call::News;
use husk_abi::poll::Poll;
use std::sync::Arc;

/// Time for which the devices may still send the guest's data after its end, in nanoseconds.
const DRAIN_NS: u64 = 1_000_000_000;
/// Interval at which a guest that has ended looks whether its devices are still paused, in nanoseconds.
const PAUSED_NS: u64 = 1_000_000;
/// Most waits without polling between two trials.
const SKIPS: u32 = 64;
/// Rounds for a device that has had a full share before the guest runs again: enough to fill a ring.
const ROUNDS: usize = 4;

/// Handle of the loop, for the vCPU thread; a clone is for the thread that pauses the devices.
#[derive(Clone, Debug)]
pub struct DeviceLoop {
    pub(super) notifier: Arc<Notifier>,
    pub(super) handoff: Arc<Handoff<Devices>>,
}

/// The devices, owned by the thread that serves them.
#[derive(Debug)]
pub struct Devices {
    pub(super) all: Vec<Served>,
    /// An event for which the guest wanted to be woken, not yet delivered.
    pub(super) news: bool,
    /// The guest waits, and its thread has left the devices to the device thread.
    pub(super) vcpu_waits: bool,
    /// Buffer for ppoll(2).
    files: Vec<libc::pollfd>,
    /// Halt polling before the vCPU thread sleeps.
    poll: Poll,
    /// Times of those waits.
    times: WaitTimes,
}

impl DeviceLoop {
    /// Starts to serve `devices`; the device thread, and threads of the devices' own, join `crew`.
    pub fn start(notifier: Arc<Notifier>, mut devices: Vec<Served>, crew: &mut Crew) -> Result<Self, Error> {
        notifier.list(&mut crew.descriptors);
        devices.iter().for_each(|served| served.device.list(&mut crew.descriptors));
        for thread in devices.iter_mut().filter_map(|served| served.device.thread()) {
            crew.spawn_devices(thread)?;
        }
        let handoff = Arc::new(Handoff::new(Devices::new(devices)));
        let thread = DeviceThread::new(Arc::clone(&notifier), Arc::clone(&handoff));
        crew.spawn_devices(move || thread.run())?;
        Ok(Self::new(notifier, handoff))
    }

    pub(super) fn new(notifier: Arc<Notifier>, handoff: Arc<Handoff<Devices>>) -> Self {
        Self { notifier, handoff }
    }

    /// Events between the devices and the vCPU.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Serves the devices until there is an event for which the guest wanted to be woken, or `input` if that is wanted, the
    /// monotonic clock reaches `deadline_ns`, or a signal arrives.
    pub fn wait(&self, input: bool, deadline_ns: u64) -> Result<News, Fault> {
        self.notifier.measure_wake_up();
        self.notifier.note_vcpu_cpu();
        let mut devices = self.handoff.take();
        let outcome = devices.poll_loop(self, input, deadline_ns);
        devices.vcpu_waits = matches!(outcome, Ok(None));
        let vcpu_waits = devices.vcpu_waits;
        if self.handoff.give_back(devices) || vcpu_waits {
            self.notifier.ring();
        }
        match outcome? {
            Some(news) => Ok(news),
            None => Ok(self.wait_for_others(input, deadline_ns)),
        }
    }

    /// Blocks while the device thread serves the devices.
    fn wait_for_others(&self, input: bool, deadline_ns: u64) -> News {
        let mut files = [signals::input(input), signals::readable(self.notifier.news())];
        signals::wait(&mut files, deadline_ns);
        let mut devices = self.handoff.take();
        devices.vcpu_waits = false;
        let mut news = News::empty();
        news.set(News::INPUT, files[0].revents != 0);
        news.set(News::DEVICES, std::mem::take(&mut devices.news));
        if self.handoff.give_back(devices) {
            self.notifier.ring();
        }
        if files[1].revents != 0 {
            self.notifier.drain_news();
        }
        news
    }

    /// Sends out the guest's data, as far as that takes no waiting. If the devices are paused, waits until they are not, or a
    /// signal arrives.
    pub fn finish(&mut self) {
        // The devices are never given back, unless they are paused.
        let mut devices = self.handoff.take();
        while self.handoff.is_closed() {
            if self.handoff.give_back(devices) {
                self.notifier.ring();
            }
            if signals::any() {
                return;
            }
            signals::wait(&mut [], monotonic_ns() + PAUSED_NS);
            devices = self.handoff.take();
        }
        let until = monotonic_ns() + DRAIN_NS;
        while matches!(devices.serve(), Ok(Progress { done: true, .. })) && monotonic_ns() < until {}
    }
}

impl Devices {
    pub(super) fn new(all: Vec<Served>) -> Self {
        Self {
            all,
            news: false,
            vcpu_waits: false,
            files: Vec::new(),
            poll: Poll::new(SKIPS),
            times: WaitTimes::default(),
        }
    }

    /// Serves each device once.
    pub(super) fn serve(&mut self) -> Result<Progress, Fault> {
        let mut all = Progress::default();
        for served in &mut self.all {
            all |= served.device.serve().map_err(|broken| fault(&served.name, broken))?;
        }
        self.news |= all.wake;
        Ok(all)
    }

    /// Shows the guest that its requests are polled for while the guest runs.
    pub(super) fn beat(&mut self) {
        self.all.iter_mut().for_each(|served| served.device.beat());
    }

    /// Serves like [`Devices::serve`], but leaves out work that may block.
    fn serve_nonblocking(&mut self) -> Result<Progress, Fault> {
        let mut all = Progress::default();
        for served in &mut self.all {
            for _ in 0..ROUNDS {
                let progress = served.device.serve_nonblocking().map_err(|broken| fault(&served.name, broken))?;
                all |= progress;
                if !progress.full {
                    break;
                }
            }
        }
        self.news |= all.wake;
        Ok(all)
    }

    /// Arms the doorbells for the guest's next request. Returns true if there is no work until one rings, a file is ready, or a
    /// deadline passes.
    pub(super) fn sleep(&mut self) -> Result<bool, Fault> {
        for served in &mut self.all {
            if !served.device.sleep().map_err(|broken| fault(&served.name, broken))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Files of the devices to be polled now.
    pub(super) fn files(&self) -> impl Iterator<Item = libc::pollfd> {
        self.all.iter().map(|served| {
            let (fd, events) = served.device.file();
            libc::pollfd { fd, events, revents: 0 }
        })
    }

    /// Earliest monotonic time at which a device must be served in any case, in nanoseconds.
    pub(super) fn deadline_ns(&self) -> u64 {
        self.all.iter().map(|served| served.device.deadline_ns()).min().unwrap_or(u64::MAX)
    }

    /// Goes on with the requests in flight, without taking new ones.
    pub(super) fn drain(&mut self) -> Result<(), Fault> {
        for served in &mut self.all {
            let progress = served.device.drain().map_err(|broken| fault(&served.name, broken))?;
            self.news |= progress.wake;
        }
        Ok(())
    }

    /// First device that has a request in flight.
    pub(super) fn busy(&self) -> Option<&Served> {
        self.all.iter().find(|served| !served.device.is_idle())
    }

    /// Serves while the guest waits, see [`DeviceLoop::wait`]; returns `None` if the rest is to be left to the device thread, or
    /// the devices are paused.
    fn poll_loop(&mut self, owner: &DeviceLoop, input: bool, deadline_ns: u64) -> Result<Option<News>, Fault> {
        // Monotonic time at which the wait began, if this thread has slept in it; else 0.
        let mut slept_from_ns = 0;
        loop {
            if let Some(outcome) = self.poll_for_work(owner, &mut slept_from_ns, deadline_ns)? {
                return Ok(outcome);
            }
            let mut files = std::mem::take(&mut self.files);
            files.clear();
            files.push(signals::input(input));
            files.extend(self.files());
            signals::wait(&mut files, deadline_ns.min(self.deadline_ns()));
            let input = files[0].revents != 0;
            self.files = files;
            if input {
                return Ok(Some(News::INPUT));
            }
        }
    }

    /// Serves as long as there is work, then polls for a while. Returns the outcome of [`Devices::poll_loop`], or `None` if only
    /// a sleep is left: `slept_from_ns` is the beginning of the wait then.
    fn poll_for_work(
        &mut self,
        owner: &DeviceLoop,
        slept_from_ns: &mut u64,
        deadline_ns: u64,
    ) -> Result<Option<Option<News>>, Fault> {
        let wake_up_ns = owner.notifier.sleep_ns();
        let (mut poll_ns, mut since_ns, mut now_ns) = (0, 0, 0);
        for round in 0u64.. {
            if owner.handoff.is_closed() {
                return Ok(Some(std::mem::take(&mut self.news).then_some(News::DEVICES)));
            }
            let progress = self.serve_nonblocking()?;
            if std::mem::take(&mut self.news) {
                let ended_ns = monotonic_ns();
                if *slept_from_ns > 0 {
                    // A poll after the sleep has not ended the wait sooner.
                    self.times.slept(ended_ns.saturating_sub(*slept_from_ns));
                    self.missed(ended_ns.saturating_sub(since_ns), poll_ns);
                } else if poll_ns > 0 {
                    self.times.polled(&self.poll, ended_ns.saturating_sub(since_ns), poll_ns, wake_up_ns);
                }
                return Ok(Some(Some(News::DEVICES)));
            }
            if progress.blocks {
                return Ok(Some(None));
            }
            now_ns = monotonic_ns();
            if signals::any() || now_ns >= deadline_ns {
                self.missed(now_ns.saturating_sub(since_ns), poll_ns);
                return Ok(Some(Some(News::empty())));
            }
            // Most waits end before this point.
            if round == 0 {
                poll_ns = self.poll.begin(self.times.window_ns(wake_up_ns));
            }
            if round == 0 || progress.done {
                since_ns = now_ns;
            }
            if !progress.done && now_ns.saturating_sub(since_ns) >= poll_ns {
                break;
            }
        }
        self.missed(now_ns.saturating_sub(since_ns), poll_ns);
        if *slept_from_ns == 0 {
            *slept_from_ns = since_ns;
        }
        Ok(None)
    }

    /// Accounts for a poll of `poll_ns` at most that took `took_ns` and did not end the wait; none if `poll_ns` is 0.
    fn missed(&self, took_ns: u64, poll_ns: u64) {
        if poll_ns > 0 {
            self.poll.miss(took_ns, poll_ns);
        }
    }
}

fn fault(device: &str, broken: Broken) -> Fault {
    Fault::Device { device: device.to_owned(), broken }
}
