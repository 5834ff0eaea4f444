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
		Short: "Copy the mailboxes to another store",
		Long:  `Copy the mailboxes to another store: a directory or a PostgreSQL database.`,
	}, storeCopyCommand())
}

func storeCopyCommand() *cobra.Command {
	var fromSeal, toSeal string
	var force bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy all mailboxes from one store to another",
		Long: `Copy all mailboxes, with their grants and local passwords, and the data of the
console from one store to another, and verify the copy. Name the stores as in
the configuration: file:DIRECTORY, postgres:env:NAME, postgres:file:PATH,
postgres:credential:NAME or postgres://... (which other users can see in the
list of processes). Each store is sealed with its own key.

Stop the servers of both stores first, and start none on FROM afterwards: where
a provider replaces refresh tokens, only the copy that is used first keeps
working. Mailboxes that exist in TO stay; those with the same name are
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
	cmd.Flags().StringVar(&fromSeal, "from-seal", "", "the seal `KEY` of FROM, as in the key seal of the configuration (default for a directory: the key in it)")
	cmd.Flags().StringVar(&toSeal, "to-seal", "", "the seal `KEY` of TO (default for a directory: the key in it, which is created)")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite mailboxes that differ in TO, and copy even if a server is running")
	return cmd
}

// placeFor returns one of the two stores as a configuration.
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
		return nil, hint.Usage(errors.New("a store in PostgreSQL needs the seal key of its servers"), "name it with %s", flag)
	}
	var err error
	if c.Postgres, err = config.PostgresURL(spec, resolve); err != nil {
		return nil, hint.Usage(err, "see `authferry store copy --help`")
	}
	if c.PostgresPlace, _, err = store.DescribePostgres(c.Postgres); err != nil {
		return nil, hint.Usage(err, "see `authferry store copy --help`")
	}
	return c, nil
}

// copyStore reads all of one store before it opens the other: root may have to become
// the owner of the other first.
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
		return hint.New(fmt.Errorf("the store %s is empty", from.StorePlace()), "check that it is the right one")
	}
	place := to.StorePlace()
	seal, err := sealOf(to)
	if err != nil {
		return err
	}
	err = atPlace(to, seal, func(s store.Store) error { return whole.Write(ctx, s, force) })
	if errors.Is(err, store.ErrOccupied) {
		return hint.New(fmt.Errorf("%s: %w", place, err), "nothing was copied; --force overwrites them")
	}
	if err != nil {
		return hint.New(fmt.Errorf("copying to %s: %w", place, err), "run this again: it replaces what was written")
	}
	// Opened again, so that nothing is verified from memory.
	if err := atPlace(to, seal, func(s store.Store) error { return whole.Verify(ctx, s) }); err != nil {
		return hint.New(fmt.Errorf("reading back from %s: %w", place, err), "make sure that no server uses it, and copy again")
	}
	mailboxes, documents := whole.Count()
	_, err = fmt.Fprintf(out, "Copied to %s and verified: mailboxes %d, documents of the console %d.\n"+
		"Now set it as the store, with its seal, in the configuration. %s was not changed; do not start a server on it again.\n",
		place, mailboxes, documents, from.StorePlace())
	return err
}

// sealOf loads the seal of the store to write to, and becomes the owner of its
// directory: after loading a named key, which the owner need not be able to read,
// and before loading or creating the key in that directory.
func sealOf(to *config.Config) (seal *store.Seal, err error) {
	const advice = "name the key with --to-seal"
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

// unused refuses a directory that a server uses: its admin socket answers, or, while
// it starts or without a socket, it holds the lock of the store.
func unused(ctx context.Context, c *config.Config) error {
	dir := c.FileStore()
	if dir == "" {
		return nil
	}
	if _, err := admin.NewClient(admin.PathIn(dir)).Status(ctx); err != nil {
		held, err := server.IsServed(dir)
		if err != nil {
			return hint.New(err, "run this as root, or as the owner of the store; --force copies anyway")
		}
		if !held {
			return nil
		}
	}
	return hint.New(fmt.Errorf("a server is using %s", c.StorePlace()), "stop it first; --force copies anyway")
}

func readPlace(ctx context.Context, c *config.Config) (whole *store.Contents, err error) {
	if dir := c.FileStore(); dir != "" { // opening it would create it
		if _, err := os.Stat(filepath.Join(dir, "mailboxes")); err != nil {
			return nil, hint.New(fmt.Errorf("there is no store in %s: %w", dir, err), "name the directory that the configuration has as its store")
		}
	}
	key := c.Seal
	if key == "" { // by its name, so that a missing key is not created
		key = "file:" + filepath.Join(c.StateDir, "seal.key")
	}
	seal, err := store.LoadSeal(key, "")
	if err != nil {
		return nil, hint.New(err, "name the key with --from-seal")
	}
	err = atPlace(c, seal, func(s store.Store) error {
		whole, err = store.ReadContents(ctx, s)
		return err
	})
	if err != nil {
		return nil, hint.New(fmt.Errorf("reading %s: %w", c.StorePlace(), err), "nothing was copied: repair or remove what cannot be read first")
	}
	return whole, nil
}

// atPlace opens a store, runs do, and closes the store.
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
