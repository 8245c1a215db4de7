"""The platform's logs as tables: DuckDB over Parquet, no import step."""
