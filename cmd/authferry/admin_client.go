package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
)

// nudge tells the server that is running, if there is one, that a password or
// a mailbox is gone: its sessions end at once. Without it they end at the next
// sweep, so that nobody has to hear that it failed.
func nudge(ctx context.Context, c *config.Config) {
	if c.Admin != "" {
		_ = admin.NewClient(c.Admin).Sweep(ctx)
	}
}

// configForAdmin reads of a configuration only where the admin socket is: what
// a server runs with need not be what its file says by now, and the file may be
// the very thing that has to be mended.
func configForAdmin(cmd *cobra.Command) (*config.Config, error) {
	path, err := configOf(cmd)
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

// adminClient asks the server that runs under a configuration.
func adminClient(c *config.Config) (*admin.Client, error) {
	if c.Admin == "" {
		return nil, hint.New(errors.New(`the admin socket is switched off: admin = "none"`), "change that in %s and restart authferry", c.File)
	}
	return admin.NewClient(c.Admin), nil
}

// notRunning adds what to do about a server that does not answer.
func notRunning(err error, c *config.Config) error {
	if errors.Is(err, admin.ErrNotRunning) {
		return hint.New(err, "start it with `authferry serve`, or name its configuration with --config (this is %s); only root and the user it runs as may ask it", c.File)
	}
	return err
}
