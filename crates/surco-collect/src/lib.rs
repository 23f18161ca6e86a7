//! From a catalog to the store: plan, fetch, verify, harmonise, write
