package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/tokens"
	"authferry/tokens/store"
)

// OpenStore opens the store of a configuration.
func OpenStore(c *config.Config, seal *store.Seal, log *zap.Logger) (store.Store, error) {
	if c.Postgres.Empty() {
		store, err := store.OpenFiles(c.StateDir, seal)
		if err != nil {
			return nil, hint.New(err, storeHint)
		}
		return store, nil
	}
	store, err := store.OpenPostgres(context.Background(), store.PostgresOptions{URL: c.Postgres, Seal: seal, Outage: c.Outage, Log: log})
	if err != nil {
		return nil, hint.New(err, "store in the configuration says which database it is; `psql` with the same URL should connect from here")
	}
	return store, nil
}

// makeState creates the state directory if the mailboxes are elsewhere.
func makeState(c *config.Config) error {
	if c.Postgres.Empty() {
		return nil // opening the store creates it
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return hint.New(fmt.Errorf("making the state directory: %w", err), `state = "DIRECTORY" in the configuration puts it elsewhere`)
	}
	return nil
}

const storeHint = "store = \"file:DIRECTORY\" in the configuration says where it is; run this as the user that authferry serves as"

// OpenVault opens the store of a configuration, as the user that authferry
// serves as.
func OpenVault(c *config.Config, log *zap.Logger) (*tokens.Vault, error) {
	seal, err := store.LoadSeal(c.Seal, c.StateDir)
	if err != nil {
		return nil, hint.New(err, storeHint)
	}
	if err := makeState(c); err != nil {
		return nil, err
	}
	return openSealed(c, seal, log)
}

func openSealed(c *config.Config, seal *store.Seal, log *zap.Logger) (*tokens.Vault, error) {
	store, err := OpenStore(c, seal, log)
	if err != nil {
		return nil, err
	}
	return tokens.NewVault(store, c.Settings, log), nil
}

// OpenVaultAsOwner opens the store for a command, which root may run beside a
// service that runs as another user.
func OpenVaultAsOwner(c *config.Config) (_ *tokens.Vault, err error) {
	if c.StatePath, err = filepath.Abs(c.StateDir); err != nil {
		return nil, err
	}
	var seal *store.Seal
	if c.Seal != "" { // the owner of the store may be unable to read it
		config.BorrowCredentials()
		if seal, err = store.LoadSeal(c.Seal, c.StateDir); err != nil {
			return nil, hint.New(err, storeHint)
		}
	}
	store, err := ActAsOwner(c.StateDir)
	if err != nil {
		return nil, err
	}
	if filepath.Dir(c.Admin) == c.StateDir {
		c.Admin = filepath.Join(store, filepath.Base(c.Admin))
	}
	c.StateDir = store
	if seal != nil {
		return openSealed(c, seal, zap.NewNop())
	}
	return OpenVault(c, zap.NewNop())
}
