//! Functions written as a stack file, which `faas-cli` and [`crate::Stack`] read back.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use provider_types::{FunctionRef, FunctionSpec, Namespace, Resources};

use crate::stack::STACK_FILE_ANNOTATION;

/// Why functions cannot be written into one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} and {second} cannot be in one stack file, which has a name once only: write one \
         file for each namespace"
)]
#[non_exhaustive]
pub struct SameName {
    /// One function of that name.
    pub first: FunctionRef,
    /// The other one.
    pub second: FunctionRef,
}

/// Writes a stack file, sorted by the names of the functions.
///
/// `default` is the namespace that is not written. What reads the file adds `:latest` to images
/// without a tag, as `faas-cli` does; everything else is as it was. `$` and `\` are written so that
/// they survive the substitution of variables.
///
/// # Errors
/// When two functions of different namespaces have one name.
pub fn to_yaml(functions: &[FunctionSpec], default: &Namespace) -> Result<String, SameName> {
    let mut by_name: BTreeMap<&str, &FunctionSpec> = BTreeMap::new();
    for function in functions {
        if let Some(other) = by_name.insert(function.function.name.as_str(), function) {
            return Err(SameName {
                first: other.function.clone(),
                second: function.function.clone(),
            });
        }
    }
    let mut out = "version: 1.0\nprovider:\n  name: openfaas\n".to_owned();
    out.push_str(if by_name.is_empty() {
        "functions: {}\n"
    } else {
        "functions:\n"
    });
    for (name, spec) in by_name {
        // Writing to a string cannot fail.
        let _ = write!(out, "  {}:\n{}", Scalar(name), Fields { spec, default });
    }
    Ok(escaped(&out))
}

/// What the substitution makes the text of.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let special = match c {
            '$' => matches!(rest.peek(), Some('$' | '{')),
            '\\' => matches!(rest.peek(), Some('\\' | '/')),
            _ => false,
        };
        if special {
            out.push(c);
        }
        out.push(c);
    }
    out
}

struct Fields<'a> {
    spec: &'a FunctionSpec,
    default: &'a Namespace,
}

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FunctionSpec {
            function,
            image,
            env_process,
            env_vars,
            constraints,
            secrets,
            labels,
            annotations,
            limits,
            requests,
            read_only_root_filesystem,
            ..
        } = self.spec;
        if function.namespace != *self.default {
            writeln!(f, "    namespace: {}", Scalar(function.namespace.as_str()))?;
        }
        writeln!(f, "    image: {}", Scalar(image))?;
        if let Some(process) = env_process {
            writeln!(f, "    fprocess: {}", Scalar(process))?;
        }
        pairs(f, "environment", env_vars.iter())?;
        list(f, "secrets", secrets.iter().map(AsRef::as_ref))?;
        pairs(f, "labels", labels.iter())?;
        let told = |(key, _): &(&String, _)| key.as_str() != STACK_FILE_ANNOTATION;
        pairs(f, "annotations", annotations.iter().filter(told))?;
        resources(f, "limits", limits.as_ref())?;
        resources(f, "requests", requests.as_ref())?;
        list(f, "constraints", constraints.iter().map(String::as_str))?;
        if *read_only_root_filesystem {
            writeln!(f, "    readonly_root_filesystem: true")?;
        }
        Ok(())
    }
}

fn pairs<'a, V: AsRef<str> + 'a>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    pairs: impl Iterator<Item = (&'a String, V)>,
) -> fmt::Result {
    let mut pairs = pairs.peekable();
    if pairs.peek().is_some() {
        writeln!(f, "    {key}:")?;
    }
    for (name, value) in pairs {
        writeln!(f, "      {}: {}", Scalar(name), Scalar(value.as_ref()))?;
    }
    Ok(())
}

fn list<'a>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    parts: impl Iterator<Item = &'a str>,
) -> fmt::Result {
    let mut parts = parts.peekable();
    if parts.peek().is_some() {
        writeln!(f, "    {key}:")?;
    }
    for part in parts {
        writeln!(f, "      - {}", Scalar(part))?;
    }
    Ok(())
}

fn resources(f: &mut fmt::Formatter<'_>, key: &str, resources: Option<&Resources>) -> fmt::Result {
    let Some(Resources {
        memory,
        cpu,
        devices,
        ..
    }) = resources
    else {
        return Ok(());
    };
    writeln!(f, "    {key}:")?;
    let named = [("memory", memory), ("cpu", cpu)];
    for (name, quantity) in named {
        if let Some(quantity) = quantity {
            writeln!(f, "      {name}: {}", Scalar(&quantity.to_string()))?;
        }
    }
    for (name, quantity) in devices {
        writeln!(
            f,
            "      {}: {}",
            Scalar(name),
            Scalar(&quantity.to_string())
        )?;
    }
    Ok(())
}

/// A text as YAML: bare where nobody can take it for anything else, else in double quotes.
struct Scalar<'a>(&'a str);

impl Scalar<'_> {
    fn is_plain(&self) -> bool {
        let text = self.0;
        let safe = |c: char| c.is_ascii_alphanumeric() || "_./-:@+=, ".contains(c);
        let first = |c: char| c.is_ascii_alphabetic() || "_./".contains(c);
        let words = [
            "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf",
        ];
        text.starts_with(first)
            && text.chars().all(safe)
            && !text.ends_with([' ', ':'])
            && !text.contains(": ")
            // A number to some, `.5` for example.
            && !text.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
            && text != "."
            && !text.starts_with("..")
            && !words.contains(&text.to_ascii_lowercase().as_str())
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                // Line breaks to YAML, or not printable.
                c if c.is_control() || "\u{85}\u{2028}\u{2029}\u{feff}".contains(c) => {
                    write!(f, "\\u{:04x}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests;
