package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"authferry/internal/buildinfo"
	"authferry/internal/check"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/secret"
	"authferry/internal/server"
	"authferry/tokens"
)

func reportCommand() *cobra.Command {
	var file string
	var show bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write down what a bug report needs, without secrets",
		Long: `Write down what somebody needs who is to help: version and platform, the
configuration in force, a check of the installation and the providers, the state
of each mailbox, and of the running server its health, metrics and goroutines.

It holds no password, token, key or client secret, nor how programs named
themselves; mail addresses are numbered, unless --show-addresses says otherwise.
It is one text: read it before you send it.`,
		Example: `  authferry report
  authferry report -o report.txt`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			out := cmd.OutOrStdout()
			if file != "" { // opened, and found, before root becomes the owner of the store and goes there
				if file, err = filepath.Abs(file); err != nil {
					return err
				}
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return hint.New(fmt.Errorf("writing the report: %w", err), "name a file that is not there yet")
				}
				defer func() {
					if err = errors.Join(err, f.Close()); err != nil {
						os.Remove(file)
					}
				}()
				out = f
			}
			r := &bundle{mask: newMask(show)}
			if err := errors.Join(r.collect(ctx, cmd), ctx.Err()); err != nil {
				return err
			}
			_, err = io.WriteString(out, r.mask.apply(r.text.String()))
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write it into this `FILE`, which must not be there yet")
	cmd.Flags().BoolVar(&show, "show-addresses", false, "leave mail addresses as they are")
	return cmd
}

// bundle is a report being written. What goes into it is chosen piece by piece;
// the mask comes last, for what a peer's words may hold.
type bundle struct {
	text bytes.Buffer
	mask *mask
}

func (b *bundle) section(title string) { fmt.Fprintf(&b.text, "\n== %s\n\n", title) }

func (b *bundle) line(format string, args ...any) { fmt.Fprintf(&b.text, format+"\n", args...) }

// collect writes all sections. That something is broken is what the report is
// for, and no error.
func (b *bundle) collect(ctx context.Context, cmd *cobra.Command) error {
	b.line("A report of authferry, made at %s. Secrets are left out.", time.Now().UTC().Format(time.RFC3339))
	b.section("program")
	b.line("%s", buildinfo.Current())
	b.line("user id %d, descriptors %d", os.Getuid(), server.DescriptorLimit())
	path, err := configOf(cmd)
	if err != nil {
		return err
	}
	b.section("configuration")
	c, err := config.Load(path)
	if err != nil {
		b.line("%v", err)
		if c, err = configForAdmin(cmd); err == nil {
			b.server(ctx, c)
		}
		return nil
	}
	b.configuration(c)
	// Asked before root becomes the owner of the store: both may.
	b.server(ctx, c)
	return b.store(ctx, c)
}

// configuration writes what is in force, as serve logs it.
func (b *bundle) configuration(c *config.Config) {
	for _, p := range c.Settings.Providers {
		b.mask.hide(p.ClientSecret)
		if p.Proxy != nil {
			password, _ := p.Proxy.User.Password()
			b.mask.hide(secret.String(password))
		}
		for _, arg := range p.TokenCommand[min(1, len(p.TokenCommand)):] {
			b.mask.hide(secret.String(arg))
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(c.Settings.Aliases)) {
		b.mask.number(c.Settings.Aliases[alias])
	}
	b.mask.hide(c.Postgres)
	for _, f := range c.Effective() {
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		if list, ok := values.Fields[f.Key].([]any); ok {
			for _, v := range list {
				b.line("%s: %v", f.Key, v)
			}
			continue
		}
		b.line("%s: %v", f.Key, values.Fields[f.Key])
	}
	for _, w := range c.Warnings {
		b.line("warning: %s", w)
	}
}

// store writes what the store holds, and what a check says that goes without
// touching a mailbox.
func (b *bundle) store(ctx context.Context, c *config.Config) (err error) {
	if c.Seal != "" {
		config.BorrowCredentials()
	}
	var vault *tokens.Vault
	defer func() {
		if vault != nil {
			err = errors.Join(err, vault.Close(context.WithoutCancel(ctx)))
		}
	}()
	b.section("check")
	check.Run(ctx, check.Subject{
		Config: c.File, Store: c.FileStore(), Seal: c.Seal, Providers: c.Settings.Providers, Hostname: c.Hostname,
		NoMailboxes: true,
		Open: func() (_ *tokens.Vault, err error) {
			vault, err = server.OpenVaultAsOwner(c)
			return vault, err
		},
	}, b.step)
	b.section("mailboxes")
	if vault == nil {
		b.line("The store could not be opened, or is not there yet.")
		return nil
	}
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		b.line("%v", err)
		return nil
	}
	for _, name := range names {
		b.mailbox(ctx, vault, name)
	}
	b.line("%d in all", len(names))
	b.logins(c)
	return nil
}

func (b *bundle) step(s check.Step) {
	about := s.Name
	if s.Provider != "" {
		about = s.Provider + ": " + about
	}
	b.line("%-4s  %s: %s", s.Result, about, s.Detail)
	if s.Fix != "" {
		b.line("      fix: %s", s.Fix)
	}
}
