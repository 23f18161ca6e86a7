//! Embedding a cube as work.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, Array4};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use surco_core::{CellId, Georef};
use surco_data::{Cube, Normalisation, QueryGrid, Sample, SpectralBand};
use surco_net::{Card, CubeGrid, Model, ModelConfig, Size, embed_cube, fresh};

/// Side of a patch in pixels.
const PATCH_PX: usize = 4;

/// Centres in nm of the ten bands of Sentinel-2 that tell of vegetation.
const CENTRES_NM: [f32; 10] =
    [492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1613.7, 2202.4];

/// A cube of ten bands at 10 m without a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CubeSize {
    /// Side in pixels.
    pub side_px: usize,
    /// Number of dates, spread over a year.
    pub dates: usize,
}

impl CubeSize {
    fn cube(self, seed: u64) -> Cube {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (t, side) = (self.dates, self.side_px);
        let band = |centre_nm| SpectralBand::optical(centre_nm, 30.0);
        let draw = |_| rng.random_range(200_u16..4_000);
        Cube {
            cell: CellId { tile: "19HBA".into(), row: 0, col: 0 },
            georef: Georef { epsg: 32719, x0_m: 300_000.0, y0_m: 6_100_000.0, px_m: 10.0 },
            days: (0..t).map(|i| 19_500 + (i * 365 / t) as i32).collect(),
            bands: CENTRES_NM.map(band).into(),
            band_names: CENTRES_NM.map(|nm| format!("{nm}")).into(),
            reflectance: Array4::from_shape_simple_fn((t, CENTRES_NM.len(), side, side), {
                let mut draw = draw;
                move || draw(())
            }),
            scl: Array3::from_elem((t, side, side), 4),
            south: true,
        }
    }

    /// Embeds the cube with an encoder of fresh weights, patches of 4 × 4 pixels, all its dates.
    pub(super) fn prepare(
        self,
        size: Size,
        seed: u64,
        device: &Device,
    ) -> Box<dyn FnMut() -> Tensor<2>> {
        let cube = self.cube(seed);
        let series = Sample::series(vec![19_500], vec![0.2; CENTRES_NM.len()], true);
        let other = Sample::series(vec![19_500], vec![0.3; CENTRES_NM.len()], true);
        let config = ModelConfig {
            schema: 2,
            size,
            normalisation: Normalisation::measure(&cube.bands, &[series, other]),
            queries: QueryGrid { count: 12, parts: 4 },
            max_dates: self.dates,
            patch_px: vec![PATCH_PX],
            context: Vec::new(),
            sight: Default::default(),
            card: Card::default(),
        };
        let model = Model { encoder: fresh(size, seed, device), config };
        let grid = CubeGrid { patch_px: PATCH_PX, days: (19_500, 19_865) };
        let device = device.clone();
        Box::new(move || {
            let embedding = embed_cube(&model, &cube, &grid);
            let (rows, cols, width) = embedding.dim();
            let values = embedding.into_raw_vec_and_offset().0;
            Tensor::from_data(TensorData::new(values, [rows * cols, width]), &device)
        })
    }
}
