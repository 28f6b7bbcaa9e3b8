//! A cluster of MariaDB servers (Galera) on this machine, each node with a data folder and ports of its own.
//!
//! What does not belong here: what a single server needs (`mariadb`), and anything that a test would expect of a
//! cluster. A node that joins gets its data from another one by `rsync`, whose daemon serves nobody's files
//! to root; so no node runs as root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::RigError;
use super::database::{MariaDb, Session};
use super::mariadb::free_port;
use super::process::{self, NOBODY};

const MISSING: &str = "on Debian and Ubuntu: apt-get install galera-4 mariadb-server rsync";
/// Where distributions keep the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib/galera-4/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
];
/// How long a node may take to have caught up. Slow machines need it, none waits for it.
const SYNCED_LIMIT: Duration = Duration::from_mins(1);
/// A node that is silent for so long is left out by the others: sooner than in production, where links are longer.
const SUSPECT_AFTER: &str = "evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S";

/// A running cluster. Dropping it kills its nodes and removes their data.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes, in the order in which they joined.
    pub nodes: Vec<MariaDb>,
}

impl Cluster {
    /// Starts so many nodes and waits until each has all that the others have.
    ///
    /// # Errors
    /// [`RigError::ProgramMissing`] if Galera is not installed; others if a node does not start.
    pub async fn start(nodes: usize) -> Result<Self, RigError> {
        let library = library()?;
        let failed = || RigError::system("find a free port");
        let group_ports = ports(nodes).map_err(failed())?;
        let members: Vec<String> = group_ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let mut cluster = Self { nodes: Vec::new() };
        for (index, group_port) in group_ports.into_iter().enumerate() {
            let others = ports(2).map_err(failed())?;
            let mut builder = MariaDb::builder().user(NOBODY);
            for argument in arguments(&library, &members, index, group_port, [others[0], others[1]]) {
                builder = builder.argument(argument);
            }
            if index == 0 {
                builder = builder.first_argument("--wsrep-new-cluster");
            }
            cluster.nodes.push(builder.start().await?);
            cluster.wait_until_synced(index).await?;
        }
        Ok(cluster)
    }

    /// Starts nodes again that were killed, all at the same time, and waits until each has all that the others have.
    ///
    /// # Errors
    /// If one does not start, or does not catch up within a minute.
    pub async fn restart(&mut self, nodes: &[usize]) -> Result<(), RigError> {
        let starting = self.nodes.iter_mut().enumerate().filter(|(index, _)| nodes.contains(index));
        for started in futures_util::future::join_all(starting.map(|(_, node)| node.restart())).await {
            started?;
        }
        for index in nodes {
            self.wait_until_synced(*index).await?;
        }
        Ok(())
    }

    /// Waits until a node has all that the others have, and says so.
    ///
    /// # Errors
    /// If that takes longer than a minute; with what it wrote.
    pub async fn wait_until_synced(&self, index: usize) -> Result<(), RigError> {
        const PAUSE: Duration = Duration::from_millis(20);
        let node = &self.nodes[index];
        let looking = async {
            loop {
                if state(node).await.is_ok_and(|state| state == "Synced") {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let Err(_) = tokio::time::timeout(SYNCED_LIMIT, looking).await else { return Ok(()) };
        Err(RigError::TooSlow {
            program: format!("node {index} of the cluster"),
            goal: "have all that the others have",
            seconds: SYNCED_LIMIT.as_secs(),
            last: state(node).await.unwrap_or_else(|error| error.to_string()),
            log: node.log().text(),
        })
    }

    /// The counter `name` of a node, such as `wsrep_local_cert_failures`.
    ///
    /// # Errors
    /// If the node cannot be asked.
    pub async fn count(&self, index: usize, name: &str) -> Result<u64, RigError> {
        let text = status(&self.nodes[index], name).await?;
        text.parse().map_err(|error| RigError::Database(sqlx::Error::Decode(Box::new(error))))
    }
}

async fn state(node: &MariaDb) -> Result<String, RigError> {
    status(node, "wsrep_local_state_comment").await
}

async fn status(node: &MariaDb, name: &str) -> Result<String, RigError> {
    let rows = Session::open(&node.url()).await?.rows(&format!("SHOW STATUS LIKE '{name}'")).await?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten()).unwrap_or_default())
}

fn arguments(library: &Path, members: &[String], index: usize, group: u16, [catch_up, copy]: [u16; 2]) -> Vec<String> {
    vec![
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", library.display()),
        "--wsrep-cluster-name=holdfast".to_owned(),
        format!("--wsrep-cluster-address=gcomm://{}", members.join(",")),
        format!("--wsrep-node-name=node-{index}"),
        "--wsrep-node-address=127.0.0.1".to_owned(),
        "--wsrep-sst-method=rsync".to_owned(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{copy}"),
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group};\
             ist.recv_addr=127.0.0.1:{catch_up};gcache.size=64M;{SUSPECT_AFTER}"
        ),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
    ]
}

fn library() -> Result<PathBuf, RigError> {
    let missing = |program| RigError::ProgramMissing { program, hint: MISSING };
    for program in ["wsrep_sst_rsync", "rsync"] {
        process::find_program(&[program]).ok_or_else(|| missing(program))?;
    }
    let found = LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| missing("libgalera_smm.so"))
}

/// So many ports, all different.
fn ports(count: usize) -> std::io::Result<Vec<u16>> {
    let mut ports = Vec::new();
    while ports.len() < count {
        let port = free_port()?;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    Ok(ports)
}
