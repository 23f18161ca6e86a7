//! Suites on real data.

use std::ffi::OsString;
use std::fs;

use surco_verify::{data, result_of, surco};

/// A real mask of fields (Fields of The World, MIT): 272 areas and 29834 pixels of class 1, counted by `scipy.ndimage.label`.
#[test]
fn a_real_mask_against_itself_is_whole() {
    let scratch = tempfile::tempdir().unwrap();
    fs::copy(data("field_boundary_ftw/mask.tif"), scratch.path().join("chip.tif")).unwrap();
    let folder = || OsString::from(scratch.path());
    let args = ["evaluate", "ftw", "--json", "--truth"].map(OsString::from);
    let command = surco(args.into_iter().chain([folder(), "--predictions".into(), folder()]));
    let scores = &result_of(command)["scores"];
    assert_eq!((&scores["f1"]["value"], &scores["pixel_iou"]["value"]), (&1.0.into(), &1.0.into()));
    assert_eq!(scores["counts"]["found"], 272);
    assert_eq!(scores["counts"]["intersection"], 29_834);
}
