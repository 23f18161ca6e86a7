//! Benchmark suites as they describe themselves: small files, one a suite.
//!
//! Input: a suite's name and the folder its data should be in. Output: what the suite is, where its data come from,
//! how it is run, and, where a file is missing, how to get it. Sample config: `suites/eurocropsml.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use surco_core::Fault;

/// The suites that are described here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteName {
    /// Average ranks over sets and numbers of labels.
    Meteor,
    /// Interquartile means over seeds by share of the training data.
    GeoBench,
    /// Crop types of parcels from few labels.
    EuroCropsMl,
    /// Crops of pixels by folds.
    Pastis,
    /// Fields as objects.
    Ftw,
}

/// What a suite says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// What the suite is called.
    pub title: String,
    /// Who made it, where it is told.
    pub source: String,
    /// Licence of its data.
    pub licence: String,
    /// Where its data come from.
    pub obtain: String,
    /// Files and folders that must be in its folder.
    #[serde(default)]
    pub files: Vec<String>,
    /// How it is run and scored, one sentence each.
    pub protocol: Vec<String>,
}

/// Data of a suite that are not there.
#[derive(Debug, thiserror::Error)]
#[error("{title}: {} is not there; get it from {obtain} ({licence})", path.display())]
pub struct MissingData {
    /// The suite.
    pub title: String,
    /// Where it comes from.
    pub obtain: String,
    /// Its licence.
    pub licence: String,
    /// What was looked for.
    pub path: PathBuf,
}

impl MissingData {
    /// The kind of fault: always bad input.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl SuiteName {
    /// Every suite.
    pub const ALL: [Self; 5] =
        [Self::Meteor, Self::GeoBench, Self::EuroCropsMl, Self::Pastis, Self::Ftw];

    /// What the suite says of itself.
    #[must_use]
    pub fn describe(self) -> Suite {
        let text = match self {
            Self::Meteor => include_str!("../suites/meteor.toml"),
            Self::GeoBench => include_str!("../suites/geobench.toml"),
            Self::EuroCropsMl => include_str!("../suites/eurocropsml.toml"),
            Self::Pastis => include_str!("../suites/pastis.toml"),
            Self::Ftw => include_str!("../suites/ftw.toml"),
        };
        toml::from_str(text).expect("the files in suites/ are read by a test")
    }
}

impl Suite {
    /// Checks that a folder has what the suite needs.
    ///
    /// # Errors
    /// [`MissingData`] with the first thing that is not there, and where to get it.
    pub fn check(&self, folder: &Path) -> Result<(), MissingData> {
        let needed =
            std::iter::once(folder.to_path_buf()).chain(self.files.iter().map(|f| folder.join(f)));
        match needed.into_iter().find(|path| !path.exists()) {
            Some(path) => Err(self.missing(path)),
            None => Ok(()),
        }
    }

    /// The error that tells where to get this.
    #[must_use]
    pub fn missing(&self, path: PathBuf) -> MissingData {
        let Self { title, obtain, licence, .. } = self.clone();
        MissingData { title, obtain, licence, path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_says_what_it_is_and_how_it_is_run() {
        for name in SuiteName::ALL {
            let suite = name.describe();
            assert!(suite.protocol.len() >= 2 && !suite.source.is_empty(), "{name:?}");
            assert!(suite.protocol.iter().all(|p| p.ends_with('.')), "{name:?}");
            assert!(suite.obtain.contains("https://") && !suite.licence.is_empty(), "{name:?}");
        }
    }

    #[test]
    fn a_missing_folder_is_told_with_where_to_get_it() {
        let suite = SuiteName::GeoBench.describe();
        let error = suite.check(Path::new("nowhere")).unwrap_err();
        assert_eq!(error.fault(), Fault::Input);
        insta::assert_snapshot!(error, @"GEO-Bench: nowhere is not there; get it from https://github.com/ServiceNow/geo-bench (code and results Apache-2.0; each set its own)");
    }
}
