//! Finds programs.

use std::path::PathBuf;

use crate::env;

/// The program of that name in `PATH`, or where Debian keeps the ones for administrators.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let directories =
        env::program_directories().into_iter().chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|path| path.is_file())
}
