//! The variables of a table.

use serde::{Deserialize, Serialize};

use super::description::{Broken, broken};

/// The variables of a table of points and days.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Table {
    /// The variables, in the order of columns.
    pub variables: Vec<Variable>,
}

/// One daily variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Variable {
    /// Name of its column, for example `Precipitation_Flux`.
    pub name: String,
    /// Other names that files give the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it is, for people.
    pub long_name: String,
    /// Its unit.
    pub units: String,
    /// The lowest value that is believed.
    pub low: f64,
    /// The highest value that is believed.
    pub high: f64,
}

impl Variable {
    /// Whether a column of this name holds it, whatever the case.
    #[must_use]
    pub fn is_called(&self, column: &str) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(column);
        same(&self.name) || self.aliases.iter().any(same)
    }

    /// Whether a value is believed.
    #[must_use]
    pub fn believes(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl Table {
    pub(crate) fn check(&self) -> Result<(), Broken> {
        if self.variables.is_empty() {
            return broken("table.variables", "empty", "at least one variable");
        }
        for (i, variable) in self.variables.iter().enumerate() {
            let what = format!("table.variables, {}", variable.name);
            let names = variable.aliases.iter().chain([&variable.name]);
            for name in names {
                if self.variables[..i].iter().any(|other| other.is_called(name)) {
                    return broken(what, format!("`{name}` there twice"), "once");
                }
            }
            if variable.low.is_nan() || variable.high.is_nan() || variable.low >= variable.high {
                let found = format!("{} to {}", variable.low, variable.high);
                return broken(what, found, "low under high");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Sensor;

    #[test]
    fn weather_is_found_by_its_aliases_and_believed_within_its_range() {
        let sensor = Sensor::builtin("agera5").unwrap();
        let table = sensor.table().unwrap();
        let rain = table.variables.iter().find(|v| v.is_called("PRECIPITATION_flux")).unwrap();
        assert_eq!((rain.name.as_str(), rain.units.as_str()), ("Precipitation_Flux", "mm d-1"));
        assert!(rain.believes(0.0) && !rain.believes(-0.1) && !rain.believes(f64::NAN));
        let heat = table.variables.iter().find(|v| v.is_called("temperature_mean")).unwrap();
        assert!(!heat.believes(21.5), "degrees Celsius are no kelvin");
    }

    #[test]
    fn a_table_without_variables_or_with_one_twice_is_refused() {
        let text = include_str!("../../sensors/agera5.toml");
        let refusal = |text: &str| Sensor::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(refusal(&text.replace("\"wind_speed\"", "\"temperature_min\"")), @"sensor agera5: table.variables, Wind_Speed_10m_Mean is `temperature_min` there twice, expected once");
        insta::assert_snapshot!(refusal(&text.replace("low = 150.0", "low = 350.0")), @"sensor agera5: table.variables, Dew_Point_Temperature_2m_Mean is 350 to 320, expected low under high");
    }
}
