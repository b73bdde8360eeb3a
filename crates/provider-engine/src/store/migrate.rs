//! What a store of an older schema goes through.
//!
//! | schema | since | |
//! |---|---|---|
//! | 1 | 0.1.0 | the count of replicas in a table `scale` of its own |
//! | 2 | | the count in the record of its function, so that the two are one |
//!
//! A step is one entry in [`STEPS`]. All that are needed run in one transaction: a store is of one
//! schema or of another, never between.

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use redb::{TableError, WriteTransaction};
use serde_json::{Map, Value};

use super::disk::{FUNCTIONS, Fault, META, SCHEMA_KEY, begin};
use super::record::RecordError;

/// The layout that this version writes.
pub(crate) const SCHEMA: u64 = 2;

type Step = fn(&WriteTransaction) -> Result<(), Fault>;

/// Each with the schema that it starts from.
const STEPS: [(u64, Step); 1] = [(1, counts_into_records)];

/// The schema of a store; `None` in one that was made and not written.
pub(super) fn schema(database: &Database) -> Result<Option<u64>, Fault> {
    let txn = database.begin_read()?;
    match txn.open_table(META) {
        Ok(meta) => match meta.get(SCHEMA_KEY)? {
            Some(schema) => Ok(Some(schema.value())),
            None => Err(Fault::Foreign),
        },
        Err(TableError::TableDoesNotExist(_)) if txn.list_tables()?.next().is_none() => Ok(None),
        Err(TableError::TableDoesNotExist(_)) => Err(Fault::Foreign),
        Err(error) => Err(error.into()),
    }
}

/// The schema of a store that has to be migrated before it can be used.
pub(super) fn older(database: &Database) -> Result<Option<u64>, Fault> {
    Ok(schema(database)?.filter(|found| *found < SCHEMA))
}

/// Brings a store to the present schema.
pub(super) fn migrate(database: &Database) -> Result<(), Fault> {
    let Some(found) = schema(database)? else {
        return mark(database);
    };
    if found == SCHEMA {
        return Ok(());
    }
    let txn = begin(database)?;
    for (_, step) in STEPS.iter().filter(|(from, _)| *from >= found) {
        step(&txn)?;
    }
    txn.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
    txn.commit()?;
    Ok(())
}

/// Makes a new store one of the present schema, with nothing in it.
pub(super) fn mark(database: &Database) -> Result<(), Fault> {
    let txn = begin(database)?;
    txn.open_table(META)?.insert(SCHEMA_KEY, SCHEMA)?;
    super::disk::lay_out(&txn)?;
    txn.commit()?;
    Ok(())
}

fn counts_into_records(txn: &WriteTransaction) -> Result<(), Fault> {
    const SCALE: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("scale");
    let mut functions = txn.open_table(FUNCTIONS)?;
    let scale = txn.open_table(SCALE)?;
    let mut records = Vec::new();
    for entry in functions.iter()? {
        let (key, value) = entry?;
        let (namespace, name) = key.value();
        let broken = |error: serde_json::Error| {
            Fault::record(
                format!("function {name}.{namespace}"),
                RecordError::from(error),
            )
        };
        let mut record: Map<String, Value> =
            serde_json::from_slice(value.value()).map_err(broken)?;
        let count = scale.get(key.value())?.map_or(1, |count| count.value());
        record.insert("replicas".to_owned(), count.into());
        let bytes = serde_json::to_vec(&record).map_err(broken)?;
        records.push((namespace.to_owned(), name.to_owned(), bytes));
    }
    for (namespace, name, bytes) in records {
        functions.insert((namespace.as_str(), name.as_str()), bytes.as_slice())?;
    }
    drop(scale);
    txn.delete_table(SCALE)?;
    Ok(())
}
