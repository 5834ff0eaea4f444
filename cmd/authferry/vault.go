package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens"
)

// withVault opens the vault, runs do, and closes the vault.
func withVault(cmd *cobra.Command, do func(ctx context.Context, c *config.Config, vault *tokens.Vault) error) error {
	c, err := configFor(cmd)
	if err != nil {
		return err
	}
	vault, err := server.OpenVaultAsOwner(c)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	return errors.Join(do(ctx, c, vault), vault.Close(context.WithoutCancel(ctx)))
}

// endSessions makes the running server, if there is one, end the sessions of removed
// passwords and mailboxes at once. An error is ignored: the next sweep of the server
// ends them, too.
func endSessions(ctx context.Context, c *config.Config) {
	if c.Admin != "" {
		_ = admin.NewClient(c.Admin).Sweep(ctx)
	}
}

// configForAdmin reads only the location of the admin socket from the configuration.
// The file may have changed since the server started, and may have errors.
func configForAdmin(cmd *cobra.Command) (*config.Config, error) {
	path, err := configPath(cmd)
	if err != nil {
		return nil, err
	}
	doc, root, err := config.OpenDocument(path)
	if err != nil {
		return nil, err
	}
	c := &config.Config{File: doc.File, Monitor: config.ReadMonitor(root)}
	c.ReadStore(root)
	c.Admin = config.ReadAdmin(root, c.StateDir)
	return c, nil
}

// adminClient returns a client of the running server.
func adminClient(c *config.Config) (*admin.Client, error) {
	if c.Admin == "" {
		return nil, hint.New(errors.New(`the admin socket is disabled: admin = "none"`), "enable it in %s and restart authferry", c.File)
	}
	return admin.NewClient(c.Admin), nil
}

// notRunning adds a hint to the error of a server that does not answer.
func notRunning(err error, c *config.Config) error {
	if errors.Is(err, admin.ErrNotRunning) {
		return hint.New(err, "start it with `authferry serve`, or name its configuration with --config (this is %s); only root and the user that it runs as have access", c.File)
	}
	return err
}
