//! Where what is measured goes: to the admin port as Prometheus text, and over OTLP. Recorded once (`meters`), read in two ways.
//!
//! Counters and gauges are numbers in memory that OpenTelemetry reads when it exports; a histogram is recorded for both at once, over OTLP
//! only where something is exported.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use meters::{Kind, Meter};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;
use opentelemetry::KeyValue;

/// The series of a name: what tells them apart, and the number. A gauge's is the bits of an `f64`.
type Series = Vec<(Arc<[KeyValue]>, Arc<AtomicU64>)>;
type Histograms = HashMap<&'static str, opentelemetry::metrics::Histogram<f64>>;

static NUMBERS: Mutex<Option<HashMap<Key, Arc<AtomicU64>>>> = Mutex::new(None);
static HISTOGRAMS: OnceLock<Histograms> = OnceLock::new();

pub(crate) struct Recorder(pub(crate) PrometheusRecorder);

/// The number of a series, the same one for whoever asks.
fn number(key: &Key) -> Arc<AtomicU64> {
    let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let numbers = numbers.get_or_insert_default();
    match numbers.get(key) {
        Some(number) => Arc::clone(number),
        None => Arc::clone(numbers.entry(key.clone()).or_default()),
    }
}

fn attributes(key: &Key) -> Arc<[KeyValue]> {
    key.labels().map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned())).collect()
}

fn series(name: &str) -> Series {
    let numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    let numbers = numbers.iter().flatten().filter(|(key, _)| key.name() == name);
    numbers.map(|(key, number)| (attributes(key), Arc::clone(number))).collect()
}

/// Has the meter provider read what is recorded, by the names, units and meanings of the list.
pub(crate) fn export() {
    let meter = opentelemetry::global::meter("guildhall");
    let mut histograms = HashMap::new();
    for &Meter { name, kind, unit, what, .. } in meters::ALL.iter().copied() {
        match kind {
            Kind::Counter => {
                let instrument = meter.u64_observable_counter(name).with_unit(unit).with_description(what);
                let _read = instrument
                    .with_callback(move |observer| {
                        for (attributes, number) in series(name) {
                            observer.observe(number.load(Ordering::Relaxed), &attributes);
                        }
                    })
                    .build();
            }
            Kind::Gauge => {
                let instrument = meter.f64_observable_gauge(name).with_unit(unit).with_description(what);
                let _read = instrument
                    .with_callback(move |observer| {
                        for (attributes, number) in series(name) {
                            observer.observe(f64::from_bits(number.load(Ordering::Relaxed)), &attributes);
                        }
                    })
                    .build();
            }
            Kind::Histogram => {
                let instrument = meter.f64_histogram(name).with_unit(unit).with_description(what);
                histograms.insert(name, instrument.with_boundaries(crate::telemetry::SECONDS.to_vec()).build());
            }
        }
    }
    // Another start in the same process, as tests have it, leaves the first.
    let _ = HISTOGRAMS.set(histograms);
}

struct Counted(Counter, Arc<AtomicU64>);

impl CounterFn for Counted {
    fn increment(&self, value: u64) {
        self.0.increment(value);
        self.1.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
        self.1.fetch_max(value, Ordering::Relaxed);
    }
}

struct Gauged(Gauge, Arc<AtomicU64>);

impl Gauged {
    fn change(&self, by: f64) {
        let change = |bits| Some((f64::from_bits(bits) + by).to_bits());
        let _ = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }
}

impl GaugeFn for Gauged {
    fn increment(&self, value: f64) {
        self.0.increment(value);
        self.change(value);
    }

    fn decrement(&self, value: f64) {
        self.0.decrement(value);
        self.change(-value);
    }

    fn set(&self, value: f64) {
        self.0.set(value);
        self.1.store(value.to_bits(), Ordering::Relaxed);
    }
}

struct Recorded {
    text: Histogram,
    key: Key,
    attributes: Arc<[KeyValue]>,
}

impl HistogramFn for Recorded {
    fn record(&self, value: f64) {
        self.text.record(value);
        if let Some(exported) = HISTOGRAMS.get().and_then(|histograms| histograms.get(self.key.name())) {
            exported.record(value, &self.attributes);
        }
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.0.describe_counter(name, unit, what);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.0.describe_gauge(name, unit, what);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, what: SharedString) {
        self.0.describe_histogram(name, unit, what);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Counted(self.0.register_counter(key, metadata), number(key))))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Gauged(self.0.register_gauge(key, metadata), number(key))))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let text = self.0.register_histogram(key, metadata);
        Histogram::from_arc(Arc::new(Recorded { text, key: key.clone(), attributes: attributes(key) }))
    }
}
