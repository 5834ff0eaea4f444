package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"authferry/tokens"
) // openStore opens the store of a configuration.
func openStore(c *config, seal *tokens.Seal, log *zap.Logger) (tokens.Store, error) {
	if c.postgres.Empty() {
		store, err := tokens.OpenFileStore(c.store, seal)
		if err != nil {
			return nil, failed(err, storeHint)
		}
		return store, nil
	}
	store, err := tokens.OpenPostgresStore(context.Background(), tokens.PostgresOptions{URL: c.postgres, Seal: seal, Outage: c.outage, Log: log})
	if err != nil {
		return nil, failed(err, "store in the configuration says which database it is; `psql` with the same URL should connect from here")
	}
	return store, nil
}

// makeState makes the directory for what is this server's own.
func makeState(c *config) error {
	if c.postgres.Empty() {
		return nil // opening the store does
	}
	if err := os.MkdirAll(c.store, 0o700); err != nil {
		return failed(fmt.Errorf("making the state directory: %w", err), `state = "DIRECTORY" in the configuration puts it elsewhere`)
	}
	return nil
}

const storeHint = "store = \"file:DIRECTORY\" in the configuration says where it is; run this as the user that authferry serves as"

// openVault opens the store of a configuration.
func openVault(c *config, log *zap.Logger) (*tokens.Vault, error) {
	seal, err := tokens.LoadSeal(c.seal, c.store)
	if err != nil {
		return nil, failed(err, storeHint)
	}
	if err := makeState(c); err != nil {
		return nil, err
	}
	return openSealed(c, seal, log)
}

func openSealed(c *config, seal *tokens.Seal, log *zap.Logger) (*tokens.Vault, error) {
	store, err := openStore(c, seal, log)
	if err != nil {
		return nil, err
	}
	return tokens.NewVault(store, c.settings, log), nil
}

// openVaultAsOwner opens it for a command, which root may run beside a service
// that runs as somebody else.
func openVaultAsOwner(c *config) (_ *tokens.Vault, err error) {
	if c.storeDir, err = filepath.Abs(c.store); err != nil {
		return nil, err
	}
	var seal *tokens.Seal
	if c.seal != "" { // kept where the owner of the store need not be able to read it
		borrowCredentials()
		if seal, err = tokens.LoadSeal(c.seal, c.store); err != nil {
			return nil, failed(err, storeHint)
		}
	}
	store, err := actAsOwner(c.store)
	if err != nil {
		return nil, err
	}
	if filepath.Dir(c.admin) == c.store {
		c.admin = filepath.Join(store, filepath.Base(c.admin))
	}
	c.store = store
	if seal != nil {
		return openSealed(c, seal, zap.NewNop())
	}
	return openVault(c, zap.NewNop())
}
