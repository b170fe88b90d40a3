-- name: lock_schema
-- Two processes that initialise one database must come one after the other.
select pg_advisory_xact_lock(hashtextextended('leo_activation.schema', 0));

-- name: password_statement
-- ALTER ROLE takes no parameters, so the server quotes the statement itself; the password arrives
-- as a SCRAM verifier, and so the plain one never reaches a log.
select format('alter role %%I password %%L', %(role)s::text, %(verifier)s::text) as alter_role;
