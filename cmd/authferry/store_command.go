package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/server"
	"authferry/tokens/store"
)

func storeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "store",
		Short: "Move the mailboxes to another store",
	}, storeCopyCommand())
}

func storeCopyCommand() *cobra.Command {
	var fromSeal, toSeal string
	var force bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy all mailboxes from one store to another",
		Long: `Copy all mailboxes, with their grants and local passwords, and what the console
keeps, from one store to another, and read the copy back. Stores are named as in
the configuration: file:DIRECTORY, postgres:env:NAME, postgres:file:PATH,
postgres:credential:NAME or postgres://... (which other users see in the list of
processes). Each is sealed with its own key.

Stop the servers of both first, and do not start one on FROM afterwards: where a
provider replaces refresh tokens, the copy that is used first is the one that
keeps working. What is in TO already stays; under the same name it is
overwritten only with --force.`,
		Example: `  authferry store copy file:/var/lib/authferry postgres:env:MAIL_DATABASE --to-seal file:/etc/authferry/seal.key
  authferry store copy postgres:file:/etc/authferry/database file:/var/lib/authferry --from-seal file:/etc/authferry/seal.key`,
		Args: takes("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := placeFor(args[0], fromSeal, "--from-seal")
			if err != nil {
				return err
			}
			to, err := placeFor(args[1], toSeal, "--to-seal")
			if err != nil {
				return err
			}
			return copyStore(cmd.Context(), from, to, force, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&fromSeal, "from-seal", "", "the seal key of FROM, as `KEY` in the configuration's seal (default for a directory: the key in it)")
	cmd.Flags().StringVar(&toSeal, "to-seal", "", "the seal `KEY` of TO (default for a directory: the key in it, which is made)")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite mailboxes that are in TO with other content, and copy though a server is running")
	return cmd
}

// placeFor is one of the two stores as a configuration has it.
func placeFor(spec, seal, flag string) (*config.Config, error) {
	resolve := func(path string) string {
		if absolute, err := filepath.Abs(path); err == nil {
			return absolute
		}
		return path
	}
	c := &config.Config{Seal: seal}
	if strings.HasPrefix(seal, "credential:") {
		config.BorrowCredentials()
	}
	if !config.IsPostgres(spec) {
		kind, path, _ := strings.Cut(spec, ":")
		if kind != "file" || path == "" {
			return nil, hint.Usage(fmt.Errorf("%q does not name a store", spec), "write file:DIRECTORY or postgres:env:NAME")
		}
		c.StateDir = resolve(path)
		return c, nil
	}
	if seal == "" {
		return nil, hint.Usage(errors.New("a spec in PostgreSQL needs the key that its servers have"), "name it with %s", flag)
	}
	var err error
	if c.Postgres, err = config.PostgresURL(spec, resolve); err != nil {
		return nil, hint.Usage(err, "see `authferry spec copy --help`")
	}
	if c.PostgresPlace, _, err = store.DescribePostgres(c.Postgres); err != nil {
		return nil, hint.Usage(err, "see `authferry spec copy --help`")
	}
	return c, nil
}

// copyStore reads all of one store before it touches the other: root may have
// to become the owner of that first.
func copyStore(ctx context.Context, from, to *config.Config, force bool, out io.Writer) error {
	if from.StorePlace() == to.StorePlace() {
		return hint.Usage(fmt.Errorf("%s is both FROM and TO", from.StorePlace()), "name two stores")
	}
	for _, c := range []*config.Config{from, to} {
		if err := unused(ctx, c); err != nil && !force {
			return err
		}
	}
	whole, err := readPlace(ctx, from)
	if err != nil {
		return err
	}
	if mailboxes, documents := whole.Count(); mailboxes+documents == 0 {
		return hint.New(fmt.Errorf("there is nothing in %s", from.StorePlace()), "see whether it is the right one")
	}
	place := to.StorePlace()
	seal, err := sealOf(to)
	if err != nil {
		return err
	}
	err = atPlace(to, seal, func(s store.Store) error { return whole.Write(ctx, s, force) })
	if errors.Is(err, store.ErrOccupied) {
		return hint.New(fmt.Errorf("%s: %w", place, err), "nothing was copied; --force overwrites these")
	}
	if err != nil {
		return hint.New(fmt.Errorf("copying to %s: %w", place, err), "what is written already is written again the next time")
	}
	// Opened anew: memory would vouch for itself.
	if err := atPlace(to, seal, func(s store.Store) error { return whole.Verify(ctx, s) }); err != nil {
		return hint.New(fmt.Errorf("reading back from %s: %w", place, err), "see that no server is at work there, and copy again")
	}
	mailboxes, documents := whole.Count()
	_, err = fmt.Fprintf(out, "Copied to %s and read back: mailboxes %d, documents of the console %d.\n"+
		"Now name it as the store, with its seal, in the configuration; %s is as it was, and no server should start on it again.\n",
		place, mailboxes, documents, from.StorePlace())
	return err
}

// sealOf loads the seal of the store to write to, and becomes the owner of its
// directory: after a key that the owner need not be able to read, and before one
// that is kept, or made, in that directory.
func sealOf(to *config.Config) (seal *store.Seal, err error) {
	const advice = "--to-seal says which key it is"
	if to.Seal != "" {
		if seal, err = store.LoadSeal(to.Seal, ""); err != nil {
			return nil, hint.New(err, advice)
		}
	}
	if dir := to.FileStore(); dir != "" {
		if to.StateDir, err = server.ActAsOwner(dir); err != nil {
			return nil, err
		}
	}
	if to.Seal == "" {
		if seal, err = store.LoadSeal("", to.StateDir); err != nil {
			return nil, hint.New(err, advice)
		}
	}
	return seal, nil
}

// unused refuses a directory that a server is at work in: one whose admin socket
// answers, or that holds the store, as it does while it starts, or without a
// socket.
func unused(ctx context.Context, c *config.Config) error {
	dir := c.FileStore()
	if dir == "" {
		return nil
	}
	if _, err := admin.NewClient(admin.PathIn(dir)).Status(ctx); err != nil {
		held, err := server.IsServed(dir)
		if err != nil {
			return hint.New(err, "run this as root, or as the user whose store it is; --force copies all the same")
		}
		if !held {
			return nil
		}
	}
	return hint.New(fmt.Errorf("a server is at work on %s", c.StorePlace()), "stop it first; --force copies all the same")
}

func readPlace(ctx context.Context, c *config.Config) (whole *store.Contents, err error) {
	if dir := c.FileStore(); dir != "" { // opening it would make one
		if _, err := os.Stat(filepath.Join(dir, "mailboxes")); err != nil {
			return nil, hint.New(fmt.Errorf("there is no store in %s: %w", dir, err), "name the directory that the configuration has as its store")
		}
	}
	key := c.Seal
	if key == "" { // by its name, since it is not to be made where it is missing
		key = "file:" + filepath.Join(c.StateDir, "seal.key")
	}
	seal, err := store.LoadSeal(key, "")
	if err != nil {
		return nil, hint.New(err, "--from-seal says which key it is")
	}
	err = atPlace(c, seal, func(s store.Store) error {
		whole, err = store.ReadContents(ctx, s)
		return err
	})
	if err != nil {
		return nil, hint.New(fmt.Errorf("reading %s: %w", c.StorePlace(), err), "nothing was copied: mend or remove what cannot be read first")
	}
	return whole, nil
}

// atPlace opens a store, does something with it, and closes it.
func atPlace(c *config.Config, seal *store.Seal, do func(store.Store) error) error {
	store, err := server.OpenStore(c, seal, zap.NewNop())
	if err != nil {
		return err
	}
	err = do(store)
	if closer, ok := store.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	return err
}
