//! Exit codes: 0 done, 1 failed, 2 usage or config, 3 bad input data, 4 network or service, 5 finished
//! with holes.

use std::process::ExitCode;

use surco_core::Fault;

/// Anything else went wrong.
pub(crate) const FAILED: ExitCode = ExitCode::FAILURE;

/// Finished, but pixels are missing; they are listed.
pub(crate) fn holes() -> ExitCode {
    ExitCode::from(5)
}

/// A config or command line that cannot be carried out as written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Data that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// The exit code of an error: that of the first library error in its chain.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(fault_of(error) as u8)
}

/// The kind of the first error in the chain that knows its kind.
pub(crate) fn fault_of(error: &anyhow::Error) -> Fault {
    for cause in error.chain() {
        macro_rules! ask {
            ($($kind:ty),* $(,)?) => {
                $(if let Some(error) = cause.downcast_ref::<$kind>() { return error.fault(); })*
            };
        }
        ask!(
            surco_collect::CollectError,
            surco_collect::report::ReportError,
            surco_store::StoreError,
            surco_data::CubeError,
            surco_data::ForecastTableError,
            surco_data::LabelError,
            surco_data::LegendsError,
            surco_data::TableError,
            surco_data::places::PlacesError,
            surco_data::eurocropsml::EuroCropsError,
            surco_data::pastis::PastisError,
            surco_data::weather::WeatherError,
            surco_learn::LearnError,
            surco_net::DeviceError,
            surco_net::WeightsError,
            surco_map::ClassifyError,
            surco_map::TaskError,
            surco_map::area::AreaError,
            surco_eval::fewshot::FewShotError,
            surco_eval::fewshot::DrawError,
            surco_eval::fields::FieldSizeError,
            surco_eval::forest::FitError,
            surco_eval::geobench::GeoBenchError,
            surco_eval::pretraining::SplitError,
            surco_eval::ranks::RankError,
            surco_eval::suite::MissingData,
            surco_eval::report::ReportError,
            surco_eval::metrics::MetricError,
            surco_raster::cog::CogError,
            surco_raster::projection::CrsError,
            surco_raster::vector::VectorError,
            surco_serve::ServeError,
            surco_sim::SimError,
        );
        if cause.is::<Usage>()
            || cause.is::<surco_core::SeasonError>()
            || cause.is::<toml::de::Error>()
        {
            return Fault::Usage;
        }
        if cause.is::<BadInput>()
            || cause.is::<surco_core::LegendError>()
            || cause.is::<serde_json::Error>()
        {
            return Fault::Input;
        }
    }
    Fault::Failed
}
