package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"authferry/admin"
)

// nudge tells the server that is running, if there is one, that a password or
// a mailbox is gone: its sessions end at once. Without it they end at the next
// sweep, so that nobody has to hear that it failed.
func nudge(ctx context.Context, c *config) {
	if c.admin != "" {
		_ = admin.NewClient(c.admin).Sweep(ctx)
	}
}

// configForAdmin reads of a configuration only where the admin socket is: what
// a server runs with need not be what its file says by now, and the file may be
// the very thing that has to be mended.
func configForAdmin(cmd *cobra.Command) (*config, error) {
	path, err := configOf(cmd)
	if err != nil {
		return nil, err
	}
	doc, root, err := openDocument(path)
	if err != nil {
		return nil, err
	}
	c := &config{file: doc.file, monitor: readMonitor(root)}
	c.readStore(root)
	c.admin = readAdmin(root, c.store)
	return c, nil
}

// adminClient asks the server that runs under a configuration.
func adminClient(c *config) (*admin.Client, error) {
	if c.admin == "" {
		return nil, failed(errors.New(`the admin socket is switched off: admin = "none"`), "change that in %s and restart authferry", c.file)
	}
	return admin.NewClient(c.admin), nil
}

// notRunning adds what to do about a server that does not answer.
func notRunning(err error, c *config) error {
	if errors.Is(err, admin.ErrNotRunning) {
		return failed(err, "start it with `authferry serve`, or name its configuration with --config (this is %s); only root and the user it runs as may ask it", c.file)
	}
	return err
}
