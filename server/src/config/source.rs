//! Where the values of settings come from: a flag, else an environment variable, else a file that
//! an environment variable names.
//!
//! What belongs here: precedence, empty values, files of secrets. What does not: what a value means
//! (`config`). An error never shows a secret.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;

use super::Secret;

/// Reads one environment variable; a parameter, so that tests need not change the process's own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment of this process.
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where to look for the values of settings.
pub struct Sources<'a> {
    flags: HashMap<&'static str, String>,
    environment: Environment<'a>,
}

/// One setting whose value is no use, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct SettingError {
    /// The setting, by the name of its environment variable.
    pub name: String,
    /// What is wrong and what would be right; continues a sentence that begins with the name.
    pub problem: String,
}

impl SettingError {
    /// An error of the setting `name`.
    pub fn new(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { name: name.into(), problem: problem.into() }
    }

    /// An error that shows the value that was set.
    pub fn value(name: &str, value: impl fmt::Display, wanted: impl fmt::Display) -> Self {
        Self::new(name, format!("is \"{value}\", but must be {wanted}"))
    }
}

impl<'a> Sources<'a> {
    /// Flags come before the environment.
    pub fn new(flags: HashMap<&'static str, String>, environment: Environment<'a>) -> Self {
        Self { flags, environment }
    }

    /// The value of a setting; an empty one counts as unset.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<String>, SettingError> {
        match self.flag(name) {
            Some(value) => Ok(Some(value)),
            None => self.variable(name),
        }
    }

    /// The value of a setting that must not be seen, and may be kept in a file which `NAME_FILE` names.
    ///
    /// # Errors
    /// If both are set, or the file cannot be read, or holds nothing.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, SettingError> {
        if let Some(value) = self.flag(name) {
            return Ok(Some(Secret::new(value)));
        }
        let name_of_file = format!("{name}_FILE");
        match (self.variable(name)?, self.variable(&name_of_file)?) {
            (Some(_), Some(_)) => {
                Err(SettingError::new(name, format!("and {name_of_file} are both set: unset one of them")))
            }
            (value, None) => Ok(value.map(Secret::new)),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    SettingError::new(&name_of_file, format!("names \"{path}\", which cannot be read: {error}"))
                })?;
                // Editors and `echo` end a file with a line break; no secret ends with one.
                let value = text.trim_end_matches(['\r', '\n']);
                if value.is_empty() {
                    // Unset would mean "no secret": a file that lost its content must not open the door.
                    return Err(SettingError::new(&name_of_file, format!("names \"{path}\", which is empty")));
                }
                Ok(Some(Secret::new(value)))
            }
        }
    }

    fn flag(&self, name: &str) -> Option<String> {
        self.flags.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A variable that is no setting of our own, but of a standard.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn variable(&self, name: &str) -> Result<Option<String>, SettingError> {
        match (self.environment)(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => {
                value.into_string().map(Some).map_err(|_| SettingError::new(name, "is not UTF-8 text: write it anew"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let variables: HashMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        move |name: &str| variables.get(name).cloned()
    }

    #[test]
    fn a_flag_comes_before_the_environment_and_empty_is_unset() {
        let environment = environment(&[("A", "from the environment"), ("B", ""), ("C", "c")]);
        let flags = HashMap::from([("A", "from the flag".to_owned()), ("C", String::new())]);
        let sources = Sources::new(flags, &environment);
        assert_eq!(sources.text("A"), Ok(Some("from the flag".to_owned())));
        assert_eq!(sources.text("B"), Ok(None));
        assert_eq!(sources.text("C"), Ok(Some("c".to_owned())));
        assert_eq!(sources.text("D"), Ok(None));
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_its_file_but_not_from_both() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let full = path("full", "from the file\n");
        let empty = path("empty", "\n");
        let missing = folder.path().join("missing").to_str().expect("UTF-8").to_owned();
        let get = |variables: &[(&str, &str)]| {
            let environment = environment(variables);
            Sources::new(HashMap::new(), &environment)
                .secret("KEY")
                .map(|secret| secret.map(|secret| secret.expose().to_owned()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(get(&[]), Ok(None));
        assert_eq!(get(&[("KEY", "direct")]), Ok(Some("direct".to_owned())));
        assert_eq!(get(&[("KEY_FILE", &full)]), Ok(Some("from the file".to_owned())));
        assert_eq!(get(&[("KEY", ""), ("KEY_FILE", &full)]), Ok(Some("from the file".to_owned())));
        assert_eq!(
            get(&[("KEY", "direct"), ("KEY_FILE", &full)]),
            Err("KEY and KEY_FILE are both set: unset one of them".to_owned())
        );
        assert_eq!(get(&[("KEY_FILE", &empty)]), Err(format!("KEY_FILE names \"{empty}\", which is empty")));
        let error = get(&[("KEY_FILE", &missing)]).expect_err("there is no such file");
        assert!(error.starts_with(&format!("KEY_FILE names \"{missing}\", which cannot be read: ")), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let environment = |_: &str| Some(OsString::from_vec(vec![0xff]));
        let error = Sources::new(HashMap::new(), &environment).text("A").expect_err("not UTF-8");
        assert_eq!(error.to_string(), "A is not UTF-8 text: write it anew");
    }
}
