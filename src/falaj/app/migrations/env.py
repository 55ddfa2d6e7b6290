"""Run by Alembic for every command: use the connection, and so the transaction, that the caller opened."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given.get("metadata"),
    transactional_ddl=True,  # Alembic takes SQLite for a database without it; our connections do begin transactions
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
