//! `headworks modules`: list parser modules, and tools for writing one.

mod new;

use super::gateway::Gateway;
use super::listing::Listing;
use super::print::Column;
use super::{Exit, Failure, Global, local, out};
use crate::mail;
use crate::rules::Decision;
use clap::Subcommand;
use module_api::Envelope;
use module_api::frame::{Input, Parse};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const COLUMNS: [Column; 4] =
    [("module", "/id"), ("version", "/version"), ("assumed format", "/assumed"), ("summary", "/summary")];

/// List parser modules, and tools for writing one.
#[derive(Debug, Subcommand)]
pub enum Modules {
    /// List the installed modules.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Run the tests of a module; works in a source checkout only.
    Test {
        /// Name of the module [default: all modules].
        name: Option<String>,
    },
    /// Create a module from the template; works in a source checkout only.
    New {
        /// Name of the module: a lower-case letter, then lower-case letters, digits and _.
        name: String,
    },
    /// Print a first profile for a mail, with the labels that are not mapped yet.
    DraftProfile {
        /// File with the mail.
        file: PathBuf,
        /// Module to use, for example hydrastor/system_report [default: the one the rules choose].
        #[arg(long, value_name = "CATEGORY/TYPE")]
        module: Option<String>,
    },
}

impl Modules {
    /// Runs the command.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self {
            Self::List { listing } => {
                let gateway = Gateway::open(global).await?;
                listing.print(global, &gateway, "/modules", &COLUMNS).await?;
                gateway.close().await;
                Ok(Exit::Done)
            }
            Self::Test { name } => test(&new::checkout()?, name.as_deref()),
            Self::New { name } => {
                let folder = new::make(&new::checkout()?, &name)?;
                global
                    .say(&format!("created {}; test it with: cargo test -p module-{name}", folder.display()));
                global.say("to ship it, add it to modules/host/Cargo.toml and modules/host/src/registry.rs");
                Ok(Exit::Done)
            }
            Self::DraftProfile { file, module } => draft(global, &file, module).await,
        }
    }
}

/// Runs the tests of the module's crate, and those of the module host, which split its mails as in production.
fn test(root: &Path, name: Option<&str>) -> Result<Exit, Failure> {
    let package = name.map(|name| format!("module-{name}"));
    if let Some(name) = name.filter(|name| !root.join("modules").join(name).join("Cargo.toml").exists()) {
        return Err(Failure::new(Exit::NotFound, format!("there is no modules/{name}")));
    }
    let mut commands = vec![vec!["test", "--package", "headworks-modules", "--test", "fixtures"]];
    match &package {
        Some(package) => commands.insert(0, vec!["test", "--package", package]),
        None => commands.insert(0, vec!["test", "--package", "module-*"]),
    }
    for arguments in commands {
        let status = Command::new("cargo").args(arguments).current_dir(root).status();
        let status = status.map_err(|error| Failure::new(Exit::Failed, format!("cargo: {error}")))?;
        if !status.success() {
            return Ok(Exit::Failed);
        }
    }
    Ok(Exit::Done)
}

async fn draft(global: &Global, path: &Path, module: Option<String>) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    let config = loaded.config();
    let (message, bytes) = local::mail(path)?;
    let host = local::host(config).await?;
    let explained = mail::explain(&host, config, message.try_clone()?, bytes, (None, None)).await?;
    let routed = match explained.explanation.decision {
        Decision::Routed(route) => Some(route),
        Decision::Held(_) => None,
    };
    let by_rule = routed.as_ref().map(|route| route.coordinates.module());
    let module = module.or(by_rule).ok_or_else(|| {
        Failure::new(Exit::Usage, "no rule chooses a module for this mail: name one with --module")
    })?;
    let (category, type_) = module.split_once('/').unwrap_or((&module, ""));
    let split = host.split(message.try_clone()?, bytes, config.mail.limits()).await?;
    let fields = split.head.fields.iter().map(|field| (field.name.clone(), field.value.clone()));
    let parse = Parse {
        coordinates: module_api::Coordinates {
            customer: explained
                .explanation
                .customer
                .map_or_else(|| "none".into(), |customer| customer.to_string()),
            category: category.to_owned(),
            type_: type_.to_owned(),
            group: routed.as_ref().map_or_else(|| "none".into(), |route| route.coordinates.group.to_string()),
        },
        module,
        envelope: Envelope {
            sender: explained.sender,
            recipient: explained.recipient,
            subject: split.head.subject.clone().unwrap_or_default(),
            headers: fields.collect(),
        },
        received_at: crate::ids::Timestamp::now().0,
        settings: routed.map_or_else(BTreeMap::new, |route| route.settings),
        input: Input::Mail { message_bytes: bytes },
        mime: config.mail.limits(),
        archive: config.modules.archive_limits(),
        budget: config.modules.budget(),
    };
    let name = parse.module.clone();
    let drafted = host.draft(parse, message).await?;
    let text = drafted.ok_or_else(|| Failure::new(Exit::NotFound, format!("{name} has no profiles")))?;
    out(&text)?;
    Ok(Exit::Done)
}
