//! The workspace as `cargo metadata` describes it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process;

/// Our packages and everything they are built from.
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Our own packages.
    pub(crate) members: Vec<Package>,
    /// Everybody else's packages in the resolved graph, for every platform and feature.
    pub(crate) foreign: Vec<Package>,
}

/// One package of the graph, with what the checks ask of it.
#[derive(Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it comes from; nothing for a folder of ours.
    pub(crate) source: Option<String>,
    pub(crate) license: Option<String>,
    /// The manifest's folder, relative to the workspace for our own packages.
    pub(crate) folder: PathBuf,
    /// Whether it may be published.
    pub(crate) publish: bool,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    /// The manifest's own words, for the checks of completeness.
    pub(crate) manifest: Value,
}

/// One line of a manifest's dependency tables.
#[derive(Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `normal`, `build` or `dev`.
    pub(crate) kind: String,
    /// The folder, relative to the workspace, when it is one of ours.
    pub(crate) folder: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo. In CI a lock file that is not current is an error here.
    pub(crate) fn load() -> Result<Self, String> {
        let here = std::env::current_dir().map_err(|error| error.to_string())?;
        let mut command = process::cargo(&here);
        command.args(["metadata", "--format-version=1", "--all-features"]).args(process::locked());
        let text = process::output(&mut command)?;
        let metadata = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Self::from_metadata(&metadata)
    }

    /// Reads the document that `cargo metadata` prints.
    pub(crate) fn from_metadata(metadata: &Value) -> Result<Self, String> {
        let root = PathBuf::from(text(metadata, "workspace_root").unwrap_or_default());
        let ids: Vec<&str> =
            list(metadata, "workspace_members").filter_map(Value::as_str).collect();
        let (mut members, mut foreign) = (Vec::new(), Vec::new());
        for value in list(metadata, "packages") {
            let ours = value["id"].as_str().is_some_and(|id| ids.contains(&id));
            let package = Package::from_metadata(value, &root);
            if ours { members.push(package) } else { foreign.push(package) }
        }
        if members.is_empty() {
            return Err("cargo metadata names no workspace member".into());
        }
        Ok(Self { root, members, foreign })
    }
}

impl Package {
    fn from_metadata(value: &Value, root: &Path) -> Self {
        let manifest = PathBuf::from(text(value, "manifest_path").unwrap_or_default());
        let folder = manifest.parent().unwrap_or(Path::new(""));
        Self {
            name: text(value, "name").unwrap_or_default(),
            version: text(value, "version").unwrap_or_default(),
            source: text(value, "source"),
            license: text(value, "license"),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_owned(),
            publish: !value["publish"].as_array().is_some_and(Vec::is_empty),
            features: value["features"]
                .as_object()
                .map(|features| features.keys().cloned().collect())
                .unwrap_or_default(),
            dependencies: list(value, "dependencies")
                .map(|dependency| Dependency::from_metadata(dependency, root))
                .collect(),
            manifest: value.clone(),
        }
    }
}

impl Dependency {
    fn from_metadata(value: &Value, root: &Path) -> Self {
        let folder = text(value, "path").map(PathBuf::from);
        Self {
            name: text(value, "name").unwrap_or_default(),
            kind: text(value, "kind").unwrap_or_else(|| "normal".into()),
            folder: folder.map(|path| path.strip_prefix(root).unwrap_or(&path).to_owned()),
        }
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}
