//! Creates a module: a copy of the template under another name, completed before it is moved into place.

use super::super::{Exit, Failure};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The word in the template that is replaced by the name.
const WORD: &str = "template";

/// Root of the source checkout that contains the current directory.
///
/// # Errors
/// When there is none.
pub fn checkout() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()?;
    let root = here.ancestors().find(|directory| directory.join("modules/_template/Cargo.toml").exists());
    let missing = || {
        Failure::new(Exit::Usage, "this is not a source checkout of headworks: modules/_template is missing")
    };
    root.map(Path::to_owned).ok_or_else(missing)
}

/// Creates `modules/<name>` and adds it to the workspace.
///
/// # Errors
/// When the name is invalid or taken, or a file cannot be written; then nothing has changed.
pub fn make(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    if !is_name(name) {
        let why = format!(
            "{name:?}: the name of a module is a lower-case letter, then lower-case letters, digits and _"
        );
        return Err(Failure::new(Exit::Usage, why));
    }
    let folder = root.join("modules").join(name);
    if folder.exists() {
        return Err(Failure::new(Exit::Refused, format!("{} already exists", folder.display())));
    }
    let workspace = root.join("Cargo.toml");
    let named = with_member(&fs::read_to_string(&workspace)?, name).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("{} does not name modules/_template", workspace.display()))
    })?;
    let modules = root.join("modules");
    let staged = tempfile::Builder::new().prefix(".new-").tempdir_in(&modules)?;
    copy(&modules.join("_template"), staged.path(), name)?;
    let mut manifest = tempfile::NamedTempFile::new_in(root)?;
    io::Write::write_all(&mut manifest, named.as_bytes())?;
    manifest.as_file().set_permissions(fs::metadata(&workspace)?.permissions())?;
    fs::set_permissions(staged.path(), fs::metadata(modules.join("_template"))?.permissions())?;
    fs::rename(staged.path(), &folder)?;
    if let Err(error) = manifest.persist(&workspace) {
        fs::remove_dir_all(&folder)?;
        return Err(error.into());
    }
    Ok(folder)
}

fn is_name(name: &str) -> bool {
    let tail = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(tail)
}

/// Adds the module after the template in the workspace's manifest, as a member and as a dependency.
fn with_member(manifest: &str, name: &str) -> Option<String> {
    let beside = |text: &str, line: &str| {
        let end = text.find(line)? + line.len();
        Some(format!(
            "{}{}{}",
            &text[..end],
            line.replace("_template", name).replace(WORD, name),
            &text[end..]
        ))
    };
    let member = beside(manifest, "  \"modules/_template\",\n")?;
    beside(&member, "module-template = { path = \"modules/_template\" }\n")
}

fn copy(from: &Path, to: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                fs::create_dir(&target)?;
                copy(&entry.path(), &target, name)?;
            }
        } else {
            fs::write(&target, fs::read_to_string(entry.path())?.replace(WORD, name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_name, make, with_member};
    use std::fs;

    const MANIFEST: &str = "members = [\n  \"modules/_template\",\n]\n[workspace.dependencies]\n\
                            module-template = { path = \"modules/_template\" }\n";

    #[test]
    fn the_workspace_names_the_module_twice() {
        let named = with_member(MANIFEST, "acme").unwrap();
        assert!(named.contains("  \"modules/_template\",\n  \"modules/acme\",\n"), "{named}");
        assert!(named.contains("module-acme = { path = \"modules/acme\" }\n"), "{named}");
        assert_eq!(with_member("[workspace]\n", "acme"), None);
    }

    #[test]
    fn names_are_words_of_the_shell_and_of_rust() {
        assert!(is_name("acme") && is_name("a1_b"));
        assert!(
            !is_name("") && !is_name("Acme") && !is_name("1a") && !is_name("../x") && !is_name("_template")
        );
    }

    #[test]
    fn a_module_is_created_completely_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let template = root.path().join("modules/_template/src");
        fs::create_dir_all(&template).unwrap();
        fs::write(template.join("lib.rs"), "//! template/report\n").unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\n").unwrap();
        make(root.path(), "acme").unwrap_err();
        assert!(!root.path().join("modules/acme").exists());
        fs::write(root.path().join("Cargo.toml"), MANIFEST).unwrap();
        let made = make(root.path(), "acme").unwrap();
        assert_eq!(fs::read_to_string(made.join("src/lib.rs")).unwrap(), "//! acme/report\n");
        make(root.path(), "acme").unwrap_err();
        assert_eq!(fs::read_dir(root.path().join("modules")).unwrap().count(), 2, "nothing is left behind");
    }
}
