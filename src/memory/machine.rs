//! How much memory this process may have, by the system.
//!
//! On Linux: `/proc/meminfo`, the limits of the control groups that the process is in (version 2: `memory.max`; version
//! 1: `memory.limit_in_bytes`) and of all groups above them, and the limit on the address space (`ulimit -v`). Elsewhere
//! the physical memory.

use std::fs;
use std::path::{Path, PathBuf};

/// What is assumed where the system does not say.
const UNKNOWN: u64 = 4 << 30;

/// Bytes that this process may have.
pub(super) fn memory() -> u64 {
    let known = [physical(), control_groups(Path::new("/sys/fs/cgroup")), address_space()];
    known.into_iter().flatten().filter(|&bytes| bytes > 0).min().unwrap_or(UNKNOWN)
}

#[cfg(target_os = "linux")]
fn physical() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(not(target_os = "linux"))]
fn physical() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    Some(system.total_memory())
}

/// The least limit of the control groups of this process, whose file systems are mounted below `mount`.
fn control_groups(mount: &Path) -> Option<u64> {
    least_limit(mount, &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The least limit of the groups that `groups` lists, in the form of `/proc/self/cgroup`. In a container the path of a
/// group is often that of the host, and the group's own files lie at the mount: so the mount is looked at always.
fn least_limit(mount: &Path, groups: &str) -> Option<u64> {
    let limit_of = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (root, file) = match controllers {
            "" => (mount.to_path_buf(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let group: PathBuf = root.join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|folder| folder.starts_with(&root));
        // "max", and version 1's largest page count, are no limits: the physical memory is less.
        above.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok()).min()
    };
    groups.lines().filter_map(limit_of).min()
}

/// The limit on the address space. Half of it: libraries, stacks and free memory between allocations take their part.
fn address_space() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|bytes| bytes / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_and_those_above_them_count() {
        let mount = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let limit = |groups: &str| least_limit(mount.path(), groups);
        assert_eq!(limit("0::/user.slice/job\n"), None);
        write("user.slice/job/memory.max", "max\n");
        assert_eq!(limit("0::/user.slice/job\n"), None);
        write("user.slice/memory.max", "3000000000\n");
        assert_eq!(limit("0::/user.slice/job\n"), Some(3_000_000_000));
        write("memory/memory.limit_in_bytes", "2000000000\n");
        assert_eq!(limit("9:name=systemd:/\n4:cpu,memory:/docker/a\n0::/user.slice/job\n"), Some(2_000_000_000));
        assert_eq!(limit("4:memory:/../../etc\n"), Some(2_000_000_000));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory() > 1 << 26);
    }
}
