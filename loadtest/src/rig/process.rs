//! A child process: its output captured, its end noticed, and no way for it to outlive the rig.
//!
//! What does not belong here: what the child is for.
//!
//! A child is asked of the kernel to be killed when the thread that spawned it ends (`setpriv
//! --pdeathsig`), so all children are spawned by one thread that lives as long as this process, not
//! by the threads of a test's runtime. Each child has a process group of its own: an interrupt at
//! the terminal ends the tests, and only by that their children.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::sync::{oneshot, watch};

use super::RigError;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment, but for `PATH`, `HOME` and `TMPDIR`, which it inherits.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it runs.
    pub directory: Option<PathBuf>,
    /// How many lines of its output are kept; what it writes after those is read and forgotten.
    pub kept_lines: usize,
    /// The user and the group whom it runs as, if not as this process does. Only root may choose.
    pub user: Option<(u32, u32)>,
    /// Whether the permissions of files count for it even if it is root.
    pub obeys_permissions: bool,
}

/// The user and the group that own nothing.
pub const NOBODY: (u32, u32) = (65_534, 65_534);

impl Plan {
    /// A program without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            kept_lines: usize::MAX,
            user: None,
            obeys_permissions: false,
        }
    }

    fn name(&self) -> String {
        let file = self.program.file_name().unwrap_or(self.program.as_os_str());
        file.to_string_lossy().into_owned()
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some((user, group)) = self.user {
            command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups"]);
        }
        // Nobody else has what is taken away here, or may take it away.
        if self.obeys_permissions && rustix::process::getuid().is_root() {
            command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }
}

/// One line that a child wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it wrote it.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// The two streams that a child writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What a child wrote so far. Cheap to clone; stays when the child is gone.
#[derive(Clone, Debug)]
pub struct Log {
    lines: watch::Receiver<Vec<Line>>,
}

impl Log {
    /// All of it, both streams, in the order of arrival.
    pub fn text(&self) -> String {
        join(self.lines.borrow().iter())
    }

    /// What it wrote to one stream.
    pub fn stream(&self, stream: Stream) -> String {
        join(self.lines.borrow().iter().filter(|line| line.stream == stream))
    }

    /// Whether one of the lines contains `part`.
    pub fn contains(&self, part: &str) -> bool {
        self.count(part) > 0
    }

    /// How many lines contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.lines.borrow().iter().filter(|line| line.text.contains(part)).count()
    }

    /// Waits until `found` makes something of a line, and returns it. `None` if both streams are closed
    /// and no line did.
    pub async fn wait_for<T>(&self, mut found: impl FnMut(&Line) -> Option<T>) -> Option<T> {
        let mut lines = self.lines.clone();
        let mut read = 0;
        loop {
            {
                let seen = lines.borrow_and_update();
                if let Some(answer) = seen[read..].iter().find_map(&mut found) {
                    return Some(answer);
                }
                read = seen.len();
            }
            if lines.changed().await.is_err() {
                return lines.borrow()[read..].iter().find_map(&mut found);
            }
        }
    }
}

fn join<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    lines.fold(String::new(), |mut text, line| {
        text.push_str(&line.text);
        text.push('\n');
        text
    })
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    log: Log,
    ended: watch::Receiver<Option<ExitStatus>>,
    /// Held while the child is reaped, so that no signal goes to a process that has got its number since.
    reaped: Arc<Mutex<bool>>,
}

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    /// If it could not be started. A program that does not exist shows as an early end with a log.
    pub async fn spawn(plan: &Plan) -> Result<Self, RigError> {
        let name = plan.name();
        let failed = || RigError::system(format!("start {name}"));
        let (answer, spawned) = oneshot::channel();
        spawner().send((plan.command(), answer)).map_err(|_| failed()(io::ErrorKind::BrokenPipe.into()))?;
        let child = spawned.await.map_err(|_| failed()(io::ErrorKind::BrokenPipe.into()))?.map_err(failed())?;
        Self::watch(name.clone(), child, plan.kept_lines).map_err(failed())
    }

    fn watch(name: String, mut child: Child, kept_lines: usize) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        let lines = Arc::new(watch::Sender::new(Vec::new()));
        let log = Log { lines: lines.subscribe() };
        let readers = [
            child.stdout.take().map(|stream| reader(stream, Stream::Out, Arc::clone(&lines), kept_lines)),
            child.stderr.take().map(|stream| reader(stream, Stream::Err, lines, kept_lines)),
        ];
        let (end, ended) = watch::channel(None);
        let reaped = Arc::new(Mutex::new(false));
        let reaped_by_waiter = Arc::clone(&reaped);
        std::thread::Builder::new().name(format!("wait for {name}")).spawn(move || {
            // Waits without reaping: until then the number belongs to this child.
            while let Err(rustix::io::Errno::INTR) =
                rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {}
            let status = {
                let mut reaped = reaped_by_waiter.lock().unwrap_or_else(PoisonError::into_inner);
                *reaped = true;
                child.wait()
            };
            // The log is whole before the end is told.
            for reader in readers.into_iter().flatten().flatten() {
                let _ = reader.join();
            }
            end.send_replace(Some(status.unwrap_or_default()));
        })?;
        Ok(Self { name, pid, log, ended, reaped })
    }

    /// The file name of the program.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of the process.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What it wrote so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits for its end.
    pub async fn wait(&self) -> ExitStatus {
        let mut ended = self.ended.clone();
        // The sender sends before it is dropped, so an error cannot come before a value.
        ended.wait_for(Option::is_some).await.ok().and_then(|status| *status).unwrap_or_default()
    }

    /// Waits for its end, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`RigError::TooSlow`] if it has not ended by then.
    pub async fn wait_at_most(&self, limit: Duration) -> Result<ExitStatus, RigError> {
        tokio::time::timeout(limit, self.wait()).await.map_err(|_| RigError::TooSlow {
            program: self.name.clone(),
            goal: "end",
            seconds: limit.as_secs(),
            last: "it runs".to_owned(),
            log: self.log.text(),
        })
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`RigError::Gone`] if it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), RigError> {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Err(RigError::Gone { program: self.name.clone(), status: self.ended().unwrap_or_default() });
        }
        rustix::process::kill_process(self.pid, signal)
            .map_err(|errno| RigError::system(format!("signal {}", self.name))(errno.into()))
    }

    /// Kills it (SIGKILL) and waits until it is gone. Fine if it was before.
    pub async fn kill(&self) {
        // The only failure is that it has ended.
        let _ = self.signal(Signal::KILL);
        self.wait().await;
    }

    /// Asks it to end (SIGTERM), and waits for that, not for longer than `limit`.
    ///
    /// # Errors
    /// [`RigError::Gone`] if it had ended, [`RigError::TooSlow`] if it goes on.
    pub async fn terminate(&self, limit: Duration) -> Result<ExitStatus, RigError> {
        self.signal(Signal::TERM)?;
        self.wait_at_most(limit).await
    }

    /// Stops its clock (SIGSTOP): connections stay open, nothing answers.
    ///
    /// # Errors
    /// [`RigError::Gone`] if it has ended.
    pub fn freeze(&self) -> Result<(), RigError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// [`RigError::Gone`] if it has ended.
    pub fn thaw(&self) -> Result<(), RigError> {
        self.signal(Signal::CONT)
    }

    /// Waits until `goal` answers, asking it again and again; fails if the process ends or `limit` passes.
    ///
    /// # Errors
    /// [`RigError::Ended`] or [`RigError::TooSlow`], with the log and the last thing that was seen.
    pub(crate) async fn wait_until<T, F: Future<Output = Result<T, String>>>(
        &self,
        goal: &'static str,
        limit: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, RigError> {
        const PAUSE: Duration = Duration::from_millis(10);
        let mut last = String::new();
        let tries = async {
            loop {
                match attempt().await {
                    Ok(answer) => return answer,
                    Err(seen) => last = seen,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            answer = tries => Ok(answer),
            status = self.wait() => Err(RigError::Ended { program: self.name.clone(), status, log: self.log.text() }),
            () = tokio::time::sleep(limit) => Err(RigError::TooSlow {
                program: self.name.clone(),
                goal,
                seconds: limit.as_secs(),
                last,
                log: self.log.text(),
            }),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The only failure is that it has ended.
        let _ = self.signal(Signal::KILL);
    }
}

/// Runs a program to its end.
///
/// # Errors
/// If it could not be started, or goes on for longer than `limit`; it is killed then.
pub async fn run(plan: &Plan, limit: Duration) -> Result<Finished, RigError> {
    let process = Process::spawn(plan).await?;
    let status = process.wait_at_most(limit).await?;
    Ok(Finished { status, out: process.log.stream(Stream::Out), err: process.log.stream(Stream::Err) })
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Finished {
    /// The exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Where a program is, looked for in `PATH` and where daemons are kept.
pub(crate) fn find_program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from)).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| Path::is_file(file)))
}

/// The library that shows a program another time of day.
///
/// # Errors
/// [`RigError::ProgramMissing`] if it is not installed.
pub(crate) async fn fake_clock() -> Result<String, RigError> {
    const MISSING: RigError =
        RigError::ProgramMissing { program: "faketime", hint: "on Debian and Ubuntu: apt-get install faketime" };
    const LIMIT: Duration = Duration::from_secs(30);
    let mut plan = Plan::new(find_program(&["faketime"]).ok_or(MISSING)?);
    // Where the library is, only its program knows; it may be a pattern that only the loader understands.
    plan.arguments = ["-f", "+0", "printenv", "LD_PRELOAD"].map(OsString::from).to_vec();
    let finished = run(&plan, LIMIT).await?;
    // Of its two, processes with several threads need the other one.
    let library = finished.out.trim().replace("libfaketime.so", "libfaketimeMT.so");
    if library.contains("libfaketimeMT.so") { Ok(library) } else { Err(MISSING) }
}

fn reader(
    stream: impl Read + Send + 'static,
    kind: Stream,
    lines: Arc<watch::Sender<Vec<Line>>>,
    kept_lines: usize,
) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("read a child's output".to_owned()).spawn(move || {
        let mut stream = BufReader::new(stream);
        for line in stream.by_ref().split(b'\n') {
            let Ok(bytes) = line else { break };
            let text = String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned();
            lines.send_if_modified(|all| {
                let kept = all.len() < kept_lines;
                if kept {
                    all.push(Line { stream: kind, text });
                }
                kept
            });
            if lines.borrow().len() >= kept_lines {
                break;
            }
        }
        // A pipe that nobody reads would stop the child.
        let _ = io::copy(&mut stream, &mut io::sink());
    })
}

type SpawnRequest = (Command, oneshot::Sender<io::Result<Child>>);

/// The one thread that spawns children; it never ends.
fn spawner() -> &'static mpsc::Sender<SpawnRequest> {
    static SPAWNER: OnceLock<mpsc::Sender<SpawnRequest>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, requests) = mpsc::channel::<SpawnRequest>();
        // If there is no thread to be had, the channel is closed, and the first request says so.
        let _ = std::thread::Builder::new().name("spawn children".to_owned()).spawn(move || {
            for (mut command, answer) in requests {
                // Nobody waits any more: the child is killed by its handle's owner, which is us.
                if let Err(Ok(mut child)) = answer.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        sender
    })
}
