//! What processes use: CPU time and memory, as the kernel counts them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::figures::{number, round};

/// CPU seconds (user and system) of a process so far; none if it is gone.
pub(super) fn cpu_s(pid: u32) -> f64 {
    stat(pid).map_or(0.0, |stat| stat.cpu_s)
}

/// The highest resident memory of a process so far, in MiB.
pub(super) fn memory_max_mib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    round(number(kib.unwrap_or_default()) / 1_024.0)
}

/// CPU seconds of a PostgreSQL server for one database: its connections, and the server's own processes (WAL,
/// checkpoints, autovacuum), which work for other databases as well.
pub(super) fn postgres_cpu_s(server: u32, database: &str) -> f64 {
    let own = ["walwriter", "checkpointer", "background writer", "autovacuum"];
    let is_ours = |pid: u32| {
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        title.contains(database) || own.iter().any(|name| title.contains(name))
    };
    processes()
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .filter(|(pid, stat)| stat.parent == server && is_ours(*pid))
        .map(|(_, stat)| stat.cpu_s)
        .sum()
}

/// The processes of the services that `cargo xtask services up` started: (broker, database server).
pub(super) fn services() -> (Option<u32>, Option<u32>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("."));
    let text = fs::read_to_string(root.join("target/services/services.json")).unwrap_or_default();
    let state: Value = serde_json::from_str(&text).unwrap_or_default();
    let pid = |service: &str, name: &str| {
        let processes = state[service]["processes"].as_array()?;
        let found = processes.iter().find(|process| process["name"] == name)?;
        u32::try_from(found["pid"].as_u64()?).ok()
    };
    (pid("broker", "beam"), pid("database", "postgres"))
}

/// The machine, for whoever reads the figures.
pub(super) fn machine() -> Value {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        Some(line.split(':').nth(1)?.trim().to_owned())
    };
    let kib = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib: usize = kib.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_gib": round(number(kib) / 1_048_576.0),
        "load_at_end": load.split_whitespace().next(),
    })
}

struct Stat {
    parent: u32,
    cpu_s: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<usize>().ok().map(number);
    let per_second = number(usize::try_from(rustix::param::clock_ticks_per_second()).ok()?);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu_s: (ticks(11)? + ticks(12)?) / per_second })
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
