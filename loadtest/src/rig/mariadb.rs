//! Throw-away MariaDB servers, each with a data folder and a port of its own, as durable as production.
//!
//! What does not belong here: schemas and statements, but for the few that make an empty database.
//!
//! Installing a data folder takes about a second, copying one a quarter of that: it is installed once
//! for each version on a machine, and copied from then on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::process::{self, Log, Plan, Process};
use super::workspace::{self, InstanceFolder};
use super::{RigError, database};

/// How long a server may take to answer; recovery after a kill included. Slow machines need it, none waits for it.
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const MISSING: &str = "on Debian and Ubuntu: apt-get install mariadb-server-core mariadb-client-core";

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct MariaDbBuilder {
    arguments: Vec<OsString>,
    first_arguments: Vec<OsString>,
    data_parent: Option<PathBuf>,
    user: Option<(u32, u32)>,
}

impl MariaDbBuilder {
    /// An argument of `mariadbd`, such as `--read-only=1`; it comes after the rig's own, so it wins.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// An argument that counts the first time only, not after a restart.
    #[must_use]
    pub fn first_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.first_arguments.push(argument.into());
        self
    }

    /// The folder in which its data folder is made, such as a disk of its own.
    #[must_use]
    pub fn data_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_parent = Some(folder.into());
        self
    }

    /// The user and the group whom it runs as, if this process may choose that.
    #[must_use]
    pub fn user(mut self, user: (u32, u32)) -> Self {
        self.user = rustix::process::getuid().is_root().then_some(user);
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// [`RigError::ProgramMissing`] if MariaDB is not installed; others if it does not start.
    pub async fn start(self) -> Result<MariaDb, RigError> {
        const TRIES: usize = 10;
        let program = process::find_program(&["mariadbd", "mysqld"])
            .ok_or(RigError::ProgramMissing { program: "mariadbd", hint: MISSING })?;
        let (parent, user) = (self.data_parent.clone(), self.user);
        let prepare = move || -> Result<_, RigError> {
            let template = template(&program)?;
            let folder = InstanceFolder::make().map_err(RigError::system("make a folder"))?;
            let data = parent.unwrap_or_else(|| folder.path().to_owned()).join("data");
            workspace::copy_folder(&template, &data).map_err(RigError::system("copy a data folder"))?;
            std::fs::create_dir(folder.path().join("tmp")).map_err(RigError::system("make a folder"))?;
            if let Some(user) = user {
                workspace::give_folder(folder.path(), user).map_err(RigError::system("give a folder away"))?;
            }
            Ok((program, folder, data))
        };
        let (program, folder, data) = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|error| RigError::system("prepare a data folder")(error.into()))??;
        let mut tries = 0;
        loop {
            tries += 1;
            let port = free_port().map_err(RigError::system("find a free port"))?;
            let plan = self.plan(&program, folder.path(), &data, port);
            let mut first_plan = plan.clone();
            first_plan.arguments.extend(self.first_arguments.iter().cloned());
            match launch(&first_plan, port, &data).await {
                Ok(process) => return Ok(MariaDb { plan, port, process, data, folder }),
                // Between our look and its bind, somebody else took the port.
                Err(RigError::Ended { log, .. }) if log.contains("already in use") && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn plan(&self, program: &Path, folder: &Path, data: &Path, port: u16) -> Plan {
        let path = |name: &str, path: &Path| {
            let mut argument = OsString::from(name);
            argument.push(path);
            argument
        };
        let mut plan = Plan::new(program);
        plan.user = self.user;
        // Must come first, or the machine's own settings count.
        plan.arguments.push("--no-defaults".into());
        plan.arguments.extend([
            path("--datadir=", data),
            path("--socket=", &folder.join("socket")),
            path("--pid-file=", &folder.join("pid")),
            // Its own: a server that starts removes temporary tables that it finds there, also those of others.
            path("--tmpdir=", &folder.join("tmp")),
            format!("--port={port}").into(),
        ]);
        plan.arguments.extend(
            [
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--max-connections=1000",
                // What an acknowledged commit needs to survive (I7).
                "--innodb-flush-log-at-trx-commit=1",
                // Small, so that a copy is quick; a sale's rows are few.
                "--innodb-log-file-size=8M",
                "--innodb-buffer-pool-size=64M",
            ]
            .map(OsString::from),
        );
        if self.user.is_none() {
            plan.arguments.extend(user_argument());
        }
        plan.arguments.extend(self.arguments.iter().cloned());
        plan
    }
}

/// A running server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct MariaDb {
    plan: Plan,
    port: u16,
    // Before the folder, so that it is killed before its data vanishes.
    process: Process,
    data: PathBuf,
    folder: InstanceFolder,
}

impl MariaDb {
    /// Starts a server with the rig's settings.
    ///
    /// # Errors
    /// As [`MariaDbBuilder::start`].
    pub async fn start() -> Result<Self, RigError> {
        Self::builder().start().await
    }

    /// For a server with settings of its own.
    pub fn builder() -> MariaDbBuilder {
        MariaDbBuilder::default()
    }

    /// The URL of its root account, without a database: `mysql://root@127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        root_url(self.port)
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port that it listens on, before and after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The number of its process.
    pub fn process_id(&self) -> i32 {
        self.process.id()
    }

    /// What it wrote since it was last started.
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Makes a fresh, empty database and returns its URL.
    ///
    /// # Errors
    /// If the server refused.
    pub async fn create_database(&self) -> Result<String, RigError> {
        database::create_database(&self.url()).await
    }

    /// Kills it (SIGKILL). What it had not made durable is lost.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Asks it to shut down, and waits for that.
    ///
    /// # Errors
    /// If it had ended, or goes on for a minute.
    pub async fn terminate(&self) -> Result<ExitStatus, RigError> {
        self.process.terminate(STOP_LIMIT).await
    }

    /// Starts it again on the same data and port, killing it first if it runs, and waits until it answers.
    ///
    /// # Errors
    /// If it does not start, or something else has taken its port.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.process.kill().await;
        self.process = launch(&self.plan, self.port, &self.data).await?;
        Ok(())
    }

    /// Stops its clock: connections stay open, nothing answers.
    ///
    /// # Errors
    /// If it has ended.
    pub fn freeze(&self) -> Result<(), RigError> {
        self.process.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it has ended.
    pub fn thaw(&self) -> Result<(), RigError> {
        self.process.thaw()
    }
}

fn root_url(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}/")
}

async fn launch(plan: &Plan, port: u16, data: &Path) -> Result<Process, RigError> {
    let process = Process::spawn(plan).await?;
    process
        .wait_until("answer", START_LIMIT, || async {
            // Another server may have the port, and ours may be about to fail for it.
            let found = database::data_folder_of(&root_url(port)).await.map_err(|error| error.to_string())?;
            if Path::new(&found) == data { Ok(()) } else { Err(format!("the port belongs to the server of {found}")) }
        })
        .await?;
    Ok(process)
}

/// A data folder as `mariadb-install-db` makes it: the account `root`, without a password, from this machine.
fn template(server: &Path) -> Result<PathBuf, RigError> {
    let installer = process::find_program(&["mariadb-install-db", "mysql_install_db"])
        .ok_or(RigError::ProgramMissing { program: "mariadb-install-db", hint: MISSING })?;
    let version =
        Command::new(server).arg("--version").output().map_err(RigError::system("ask MariaDB its version"))?;
    let name: String = String::from_utf8_lossy(&version.stdout)
        .split_whitespace()
        .skip_while(|word| *word != "Ver")
        .nth(1)
        .unwrap_or("unknown")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    workspace::template(&format!("mariadb-{name}"), |folder| -> Result<(), Failure> {
        let mut data = OsString::from("--datadir=");
        data.push(folder);
        let output = Command::new(&installer)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--skip-name-resolve", "--innodb-log-file-size=8M"])
            .arg(data)
            .args(user_argument())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(Failure(RigError::Install {
            program: installer.clone(),
            status: output.status,
            output: String::from_utf8_lossy(&text).into_owned(),
        }))
    })
    .map_err(|failure| failure.0)
}

/// A [`RigError`] that plain I/O errors turn into.
struct Failure(RigError);

impl From<std::io::Error> for Failure {
    fn from(source: std::io::Error) -> Self {
        Self(RigError::system("make a template of a data folder")(source))
    }
}

/// MariaDB refuses to run as root unless it is told to.
fn user_argument() -> Option<OsString> {
    rustix::process::getuid().is_root().then(|| "--user=root".into())
}

/// A port that nobody listens on, from below the range that the kernel gives to outgoing connections, so
/// that it is still free after a restart.
pub(super) fn free_port() -> std::io::Result<u16> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let port = fastrand::u16(10_000..32_000);
        match std::net::TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::AddrNotAvailable.into())
}
