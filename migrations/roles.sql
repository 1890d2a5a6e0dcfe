-- The roles of Riserbo. Run by a superuser; safe to run again. Logins carry no password here: the deployment authenticates them
-- (peer, certificate, or a password set by the administrator and kept in a pgpass file).
-- No role but riserbo_backup may ever bypass row security, and riserbo_backup is used for nothing but dumps.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['riserbo_owner', 'riserbo_app', 'riserbo_sequencer', 'riserbo_signer'] LOOP
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
    END IF;
  END LOOP;
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO riserbo_owner', current_database());
  EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO riserbo_app, riserbo_sequencer', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO riserbo_signer', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
