//! Loads at full speed: wrk as a child process, with a script, and what it says at its end.
//!
//! What does not belong here: which load when. wrk keeps all its connections busy, so it finds the peak rate; it
//! sends the next request when the last was answered, so its latencies are those of a full house.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use super::BenchError;
use crate::rig::RigError;
use crate::rig::process::{self, Plan};

/// How long wrk waits for an answer before it counts it as missing.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// What a run may take longer than it was told to.
const END_LIMIT: Duration = Duration::from_mins(1);
const MISSING: &str = "the bench needs it as its load generator; on Debian and Ubuntu: apt-get install wrk";

/// What is asked of a server.
#[derive(Clone, Debug)]
pub(super) enum Load {
    /// Holds of one product.
    Holds { product: u64 },
    /// Reads of one product.
    Product { product: u64 },
    /// Holds of many products, one number after the other, by Zipf's law with this exponent; 0: all alike.
    Products { first: u64, count: u64, exponent: u32, seed: u32 },
    /// Nine reads of a product, then a hold of it.
    Mixed { product: u64 },
    /// Hold, order, and its webhook twice; `name` keeps the payment keys apart from those of other runs.
    Funnel { product: u64, name: String },
}

impl Load {
    fn script(&self) -> (&'static str, &'static str) {
        match self {
            Self::Holds { .. } => ("holds.lua", include_str!("wrk/holds.lua")),
            Self::Product { .. } => ("product.lua", include_str!("wrk/product.lua")),
            Self::Products { .. } => ("products.lua", include_str!("wrk/products.lua")),
            Self::Mixed { .. } => ("mixed.lua", include_str!("wrk/mixed.lua")),
            Self::Funnel { .. } => ("funnel.lua", include_str!("wrk/funnel.lua")),
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Holds { product } | Self::Product { product } | Self::Mixed { product } => vec![product.to_string()],
            Self::Products { first, count, exponent, seed } => {
                vec![first.to_string(), count.to_string(), exponent.to_string(), seed.to_string()]
            }
            Self::Funnel { product, name } => vec![product.to_string(), name.clone()],
        }
    }
}

/// What came of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Ran {
    /// Requests that were answered.
    pub(super) requests: u64,
    /// How long that took.
    pub(super) microseconds: u64,
    /// The median latency, in microseconds.
    pub(super) p50: u64,
    /// The 99th percentile of it.
    pub(super) p99: u64,
    /// Requests that were not answered, by how they failed.
    pub(super) failed: Failed,
    /// Answers with a status of 400 or more.
    pub(super) refused: u64,
}

/// Requests that were not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Failed {
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
}

impl Failed {
    /// All of them.
    pub(super) fn all(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout
    }
}

/// wrk, with its scripts. Dropping it removes these.
#[derive(Debug)]
pub(super) struct Wrk {
    program: PathBuf,
    scripts: TempDir,
}

impl Wrk {
    /// Looks for it.
    ///
    /// # Errors
    /// [`RigError::ProgramMissing`] if it is not installed.
    pub(super) fn find() -> Result<Self, BenchError> {
        let program =
            process::find_program(&["wrk"]).ok_or(RigError::ProgramMissing { program: "wrk", hint: MISSING })?;
        let scripts =
            tempfile::Builder::new().prefix("holdfast-bench-").tempdir().map_err(RigError::system("make a folder"))?;
        Ok(Self { program, scripts })
    }

    /// Keeps `connections` busy for `duration`, which is whole seconds.
    ///
    /// # Errors
    /// If wrk fails, or does not say what came of it.
    pub(super) async fn run(
        &self,
        url: &str,
        load: &Load,
        connections: u32,
        duration: Duration,
    ) -> Result<Ran, BenchError> {
        let script = self.write(load)?;
        let mut plan = Plan::new(&self.program);
        // One thread does several times what the servers beside it can; more would take their cores away.
        plan.arguments.extend(["--threads", "1"].map(OsString::from));
        plan.arguments.extend([
            format!("--connections={connections}").into(),
            format!("--duration={}s", duration.as_secs()).into(),
            format!("--timeout={}s", ANSWER_LIMIT.as_secs()).into(),
            "--script".into(),
            script.into(),
            url.into(),
            "--".into(),
        ]);
        plan.arguments.extend(load.arguments().into_iter().map(OsString::from));
        let finished = process::run(&plan, duration + ANSWER_LIMIT + END_LIMIT).await?;
        let said = read(&finished.out);
        said.filter(|_| finished.status.success())
            .ok_or_else(|| BenchError::Load { program: "wrk", wrote: format!("{}{}", finished.out, finished.err) })
    }

    fn write(&self, load: &Load) -> Result<PathBuf, RigError> {
        let (name, text) = load.script();
        let path = self.scripts.path().join(name);
        write(&path, &format!("{}\n{text}", include_str!("wrk/answers.lua")))?;
        Ok(path)
    }
}

fn write(path: &Path, text: &str) -> Result<(), RigError> {
    std::fs::write(path, text).map_err(RigError::system(format!("write {}", path.display())))
}

/// The line of JSON among what wrk prints for people.
fn read(output: &str) -> Option<Ran> {
    output.lines().find_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_found_among_what_is_for_people() {
        let output = "Running 1s test @ http://127.0.0.1:1\n  1 threads and 2 connections\n\n\
            {\"requests\":10,\"microseconds\":1000000,\"p50\":5,\"p90\":6,\"p99\":7,\"most\":8,\
            \"failed\":{\"connect\":1,\"read\":2,\"write\":3,\"timeout\":4},\"refused\":9}\n";
        let ran = read(output).expect("a line");
        assert_eq!((ran.requests, ran.p50, ran.p99, ran.failed.all(), ran.refused), (10, 5, 7, 10, 9));
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }
}
