//! Episodes drawn from tasks: a few classes, a support and a query set of each from different places.

use rand_chacha::ChaCha8Rng;
use surco_data::{Batch, BatchSpec, Sample};
use surco_net::ModelConfig;

use super::heads::Meant;
use super::timl::Known;
use super::{Logits, MetaConfig, MetaTask};
use crate::pretext::hidden_bands;
use crate::shuffle::shuffle;

/// An episode as a method takes it.
pub(super) enum Drawn {
    /// To be solved from embeddings in closed form.
    Whole(Box<Whole>),
    /// To be learned by steps: what each head learns from and is asked.
    Parted(Parted),
}

/// Support and queries that are embedded together.
pub(super) struct Whole {
    /// How it is solved.
    pub(super) logits: Logits,
    /// Support, by class, then queries.
    pub(super) batch: Batch,
    pub(super) ways: usize,
    /// Examples of the support.
    pub(super) support: usize,
    pub(super) query_class: Vec<i32>,
}

/// What each head learns from and is asked, and what is known of the task.
pub(super) struct Parted {
    pub(super) heads: Vec<Asked>,
    pub(super) known: Known,
}

/// What one head learns from and is asked.
pub(super) struct Asked {
    /// Answers it may give.
    pub(super) answers: usize,
    pub(super) support: Examples,
    pub(super) query: Examples,
}

/// Samples with their right answers.
pub(super) struct Examples {
    pub(super) batch: Batch,
    pub(super) right: Vec<i32>,
}

impl Drawn {
    /// Tokens of each patch, over all batches.
    pub(super) fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Whole(whole) => whole.batch.lengths.clone(),
            Self::Parted(parted) => {
                let batches = parted.heads.iter().flat_map(|h| [&h.support.batch, &h.query.batch]);
                batches.flat_map(|batch| batch.lengths.iter().copied()).collect()
            }
        }
    }
}

/// A task's examples by class, classes of too few left out.
pub(super) struct Members<'a> {
    pub(super) task: &'a MetaTask,
    pub(super) by_class: Vec<Vec<usize>>,
}

/// Samples of an episode with their classes within it.
#[derive(Default)]
pub(super) struct Half {
    pub(super) samples: Vec<usize>,
    pub(super) classes: Vec<usize>,
}

/// Support and queries of an episode, class by class.
pub(super) struct Halves {
    pub(super) ways: usize,
    pub(super) support: Half,
    pub(super) query: Half,
}

impl Half {
    fn add(&mut self, class: usize, samples: Vec<usize>) {
        self.classes.extend(samples.iter().map(|_| class));
        self.samples.extend(samples);
    }
}

impl<'a> Members<'a> {
    pub(super) fn of(task: &'a MetaTask, config: &MetaConfig) -> Self {
        let least = config.shots + config.queries;
        let members = task.classes.iter().copied().enumerate();
        let by_class = by_class(members, least);
        Self { task, by_class }
    }

    /// Samples of the next episode.
    pub(super) fn halves(&self, config: &MetaConfig, rng: &mut ChaCha8Rng) -> Halves {
        let mut order: Vec<usize> = (0..self.by_class.len()).collect();
        shuffle(&mut order, rng);
        let ways = config.ways.min(order.len());
        let (mut support, mut query) = (Half::default(), Half::default());
        let counts = config.counts();
        for (way, &class) in order[..ways].iter().enumerate() {
            let (s, q) = split(&self.by_class[class], &self.task.places, counts, rng);
            support.add(way, s);
            query.add(way, q);
        }
        Halves { ways, support, query }
    }

    /// The next episode.
    pub(super) fn draw(
        &self,
        config: &MetaConfig,
        model: &ModelConfig,
        rng: &mut ChaCha8Rng,
    ) -> Drawn {
        let Halves { ways, support, query } = self.halves(config, rng);
        let reader = Reader {
            task: self.task,
            spec: model.spec(&self.task.bands, self.task.window),
            hidden: hidden_bands(self.task.bands.len(), config.band_dropout, rng),
        };
        if let Some(logits) = config.method.in_closed_form() {
            return Drawn::Whole(Box::new(Whole {
                logits,
                batch: reader.batch(&[support.samples.as_slice(), &query.samples].concat()),
                ways,
                support: support.samples.len(),
                query_class: query.classes.iter().map(|&class| class as i32).collect(),
            }));
        }
        let asked = config.heads.questions(ways).into_iter().map(|question| Asked {
            answers: question.answers,
            support: reader.examples(&support, question.meant(&support.classes)),
            query: reader.examples(&query, question.meant(&query.classes)),
        });
        let shown = support.samples.iter().map(|&i| &self.task.samples[i]);
        let known = Known::of(shown, self.task.window.0);
        Drawn::Parted(Parted { heads: asked.collect(), known })
    }
}

/// Examples by class, from examples with their classes; classes of fewer than `least` are left out.
pub(super) fn by_class(
    examples: impl IntoIterator<Item = (usize, usize)>,
    least: usize,
) -> Vec<Vec<usize>> {
    let mut by_class: Vec<Vec<usize>> = Vec::new();
    for (example, class) in examples {
        by_class.resize(by_class.len().max(class + 1), Vec::new());
        by_class[class].push(example);
    }
    by_class.retain(|members| !members.is_empty() && members.len() >= least);
    by_class
}

/// How many examples of a class are learned from, and how many asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) shots: usize,
    pub(super) queries: usize,
}

/// Support and query of one class, from different places where the class has more than one.
pub(super) fn split(
    members: &[usize],
    places: &[u64],
    counts: Counts,
    rng: &mut ChaCha8Rng,
) -> (Vec<usize>, Vec<usize>) {
    let mut members = members.to_vec();
    shuffle(&mut members, rng);
    let support = members[..counts.shots].to_vec();
    let taken: Vec<u64> = support.iter().map(|&i| places[i]).collect();
    let (apart, near): (Vec<usize>, Vec<usize>) =
        members[counts.shots..].iter().partition(|&&i| !taken.contains(&places[i]));
    let query = apart.into_iter().chain(near).take(counts.queries).collect();
    (support, query)
}

/// Reads samples of a task, some bands hidden.
struct Reader<'a> {
    task: &'a MetaTask,
    spec: BatchSpec,
    hidden: Vec<usize>,
}

impl Reader<'_> {
    fn batch(&self, chosen: &[usize]) -> Batch {
        let chosen: Vec<&Sample> = chosen.iter().map(|&i| &self.task.samples[i]).collect();
        let mut batch = Batch::new(&chosen, &self.spec);
        (0..batch.len()).for_each(|i| batch.hide_bands(i, &self.hidden));
        batch
    }

    fn examples(&self, half: &Half, Meant { examples, right }: Meant) -> Examples {
        let chosen: Vec<usize> = examples.into_iter().map(|i| half.samples[i]).collect();
        Examples { batch: self.batch(&chosen), right }
    }
}
