use super::*;

fn by(legend: SharedLegend, level: Option<u8>) -> Naming {
    Naming::new(legend, level).unwrap()
}

/// Codes from HCAT3.csv and ewoc_legend.csv; correspondences by hand.
#[test]
fn one_crop_is_one_class_however_it_is_written() {
    let cherry =
        ["3303010400", "cherry_cherries", "CEREZO", "cereza", "12-01-01-004-1", "1201010041"];
    for value in cherry {
        assert_eq!(by(SharedLegend::Hcat, None).name(value), Some("cherry_cherries"), "{value}");
        assert_eq!(by(SharedLegend::WorldCereal, Some(3)).name(value), Some("pome_stone_fruit"));
    }
    let cases = [
        (SharedLegend::Hcat, None, "Maíz", "grain_maize_corn_popcorn"),
        (SharedLegend::Hcat, Some(4), "winter_common_barley", "barley"),
        (SharedLegend::Hcat, Some(3), "Vid de Mesa", "vineyards_wine_vine_rebland_grapes"),
        (SharedLegend::Hcat, Some(2), "Vid de Mesa", "permanent_crops_perennial"),
        (SharedLegend::Hcat, Some(3), "sweet_chestnuts", "nuts"),
        (SharedLegend::Hcat, None, "Deciduous_fruit_tree", "orchards_fruits"),
        (SharedLegend::WorldCereal, None, "1103090000", "root_vegetables"),
        (SharedLegend::WorldCereal, None, "3301010101", "winter_common_soft_wheat"),
        (SharedLegend::WorldCereal, Some(2), "trigo", "cereals"),
        (SharedLegend::Ciren, None, "walnuts", "Nogal"),
        (SharedLegend::Ciren, Some(1), "Bosque Nativo", "Bosques"),
        // No species of the cadastre: what its parent is.
        (SharedLegend::Ciren, None, "3301010101", "Terreno de uso agrícola"),
        // Not in HCAT by this name: what the coarser class of WorldCereal is there.
        (SharedLegend::Hcat, None, "kidney_beans", "beans"),
    ];
    for (legend, level, value, want) in cases {
        assert_eq!(by(legend, level).name(value), Some(want), "{legend} {level:?} {value}");
    }
    assert_eq!(by(SharedLegend::Hcat, None).name("crop4"), None);
}

/// All classes of the sets that evaluations use, but for two crops in one season and for classes without a meaning.
#[test]
fn the_classes_of_the_evaluated_sets_are_known() {
    let ine = "Annual_pasture Deciduous_forest Mature_plantation Young_plantation Artificial_surfaces \
               Deciduous_fruit_tree Perennial_pasture Spring_crops Winter_crops Shrublands \
               Clear_cut_plantation Water_bodies Grasslands Bare_soils Successive_crops \
               Perennial_fruit_tree Fallow";
    let asia = "cotton wheat orchard rice fallow maize alfalfa vineyard vegetables melons carrots \
                sunflower beans onions potatoes soy oats pumpkin tomatoes";
    let corsica = "grassland_with_tree_shrub longterm_meadows not_cultivated_fallow citrus_fruit \
                   fruit_nuts olive temporary_meadows trees_unspecified sweet_chestnuts \
                   alfalfa_lucerne non_cropland_herbaceous vegetables_fruits oak reed hemp \
                   herb_spice_medicinal_crops fodder_mixtures hazelnuts_hazel artichoke \
                   permanent_tree_shrub_flowers unspecified_sorghum lolium_ryegrass avocado";
    for value in [ine, asia, corsica].iter().flat_map(|set| set.split_whitespace()) {
        for legend in SharedLegend::ALL {
            assert!(by(legend, None).name(value).is_some(), "{legend} does not know {value}");
        }
    }
}

#[test]
fn what_values_became_is_counted_and_the_unknown_are_refused() {
    let texts = ["Cerezo", "trigo", "Trigo", "CEREZO", "Cerezo"];
    let mut classes: Vec<String> = texts.map(Into::into).into();
    let named = by(SharedLegend::Hcat, Some(3)).rename(classes.iter_mut()).unwrap();
    assert_eq!(
        classes,
        ["orchards_fruits", "cereal", "cereal", "orchards_fruits", "orchards_fruits"]
    );
    insta::assert_snapshot!(named.told(), @"classes are named by legend hcat, level 3: `CEREZO` (1) is orchards_fruits, `Cerezo` (2) is orchards_fruits, `Trigo` (1) is cereal, `trigo` (1) is cereal");
    let mut classes: Vec<String> = ["Ceresos", "trigo", "crop4"].map(Into::into).into();
    let error = by(SharedLegend::Hcat, None).rename(classes.iter_mut()).unwrap_err();
    insta::assert_snapshot!(error, @"legend hcat does not know `Ceresos` (like cereal, cherry_cherries?), `crop4` (like crop_type, stonecrop?) (2 in all); rename such classes, or empty them to leave their labels out");
    assert_eq!(classes[1], "trigo", "nothing is renamed where something is unknown");
    let known = by(SharedLegend::WorldCereal, None).rename_known(classes.iter_mut());
    insta::assert_snapshot!(known.told(), @"classes are named by legend worldcereal: `trigo` (1) is wheat; unknown to it and kept as they are: Ceresos, crop4");
}

#[test]
fn legends_and_levels_that_are_not_there_are_refused() {
    insta::assert_snapshot!("fao".parse::<SharedLegend>().unwrap_err(), @"unknown legend `fao`, expected one of hcat, worldcereal, ciren");
    insta::assert_snapshot!(Naming::new(SharedLegend::Ciren, Some(4)).unwrap_err(), @"legend ciren has levels 1 to 3, not 4");
}
