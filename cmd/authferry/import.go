package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/importer"
	"authferry/internal/logging"
	"authferry/internal/onboard"
	"authferry/internal/secret"
	"authferry/tokens"
)

// importFlags are the flags of import.
type importFlags struct {
	provider      string
	mailboxes     []string
	clientConfig  string
	cacheStore    string
	passwordStdin bool
	keepPassword  bool
	noCheck       bool
	printConfig   bool
}

func importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FORMAT [FILE]",
		Short: "Import mailboxes from another program",
		Long: `Import the grants of another program, so that no one has to sign in again. FILE
is a file of that program; without it, standard input is read.

  token                a refresh token alone; --mailbox names its mailbox
  mutt_oauth2          a token file of mutt_oauth2.py, decrypted
  oama                 a record of oama, decrypted
  sasl-xoauth2         a token file of sasl-xoauth2, the plug-in for Postfix
  email-oauth2-proxy   its configuration; --password-stdin decrypts the grants

A grant is kept after it has been refreshed and has opened the mailbox. It works
only with the OAuth client it was issued to. Clients that the configuration
lacks are printed, to be added to it, and their secrets are written to files
beside the mailboxes. Add them, and run the same command again.`,
		Example: `  gpg --decrypt ~/.mutt/token | authferry import mutt_oauth2
  authferry import sasl-xoauth2 /etc/tokens/you@gmail.com
  authferry import email-oauth2-proxy emailproxy.config --password-stdin --keep-password < password.txt`,
		Args: importArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return importer.Formats(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cmd.SetContext(ctx)
			source, found, err := readImport(cmd, append(args, "-")[:2], f)
			if err != nil {
				return err
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				return runImport(ctx, cmd, c, vault, source, found, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "", "the `NAME` of a [provider.NAME] (default: the one with the client that the file names)")
	cmd.Flags().StringSliceVar(&f.mailboxes, "mailbox", nil, "the `MAILBOX`, if the file does not name it; or the mailboxes to import, if it has many")
	cmd.Flags().StringVar(&f.clientConfig, "client-config", "", "sasl-xoauth2: the `FILE` with the client (default /etc/sasl-xoauth2.conf if it exists)")
	cmd.Flags().StringVar(&f.cacheStore, "cache-store", "", "email-oauth2-proxy: the `FILE` that it keeps its tokens in, if it has one")
	cmd.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "email-oauth2-proxy: read the password that its mail programs send from standard input")
	cmd.Flags().BoolVar(&f.keepPassword, "keep-password", false, "make that password a local password, so that mail programs need no change")
	cmd.Flags().BoolVar(&f.noCheck, "no-check", false, "keep the grants without trying them, on a machine without a network")
	cmd.Flags().BoolVar(&f.printConfig, "print-config", false, "print the configuration to add, secrets included, and change nothing")
	cmd.RegisterFlagCompletionFunc("provider", completeProviders)
	return cmd
}

func importArgs(_ *cobra.Command, args []string) error {
	formats := importer.Formats()
	known := strings.Join(formats, ", ")
	switch {
	case len(args) == 0:
		return hint.Usage(errors.New("authferry import needs a FORMAT"), "one of %s", known)
	case len(args) > 2:
		return hint.Usage(fmt.Errorf("unexpected argument %q", args[2]), "import one file at a time: authferry import FORMAT FILE")
	case slices.Contains(formats, args[0]):
		return nil
	}
	advice := "the formats are " + known
	if n := hint.Suggest(args[0], formats); n != "" {
		advice = fmt.Sprintf("did you mean %s?", n)
	}
	return hint.Usage(fmt.Errorf("unknown format %q", args[0]), "%s", advice)
}

// readImport reads the files before the store is opened: root becomes the store's
// owner then, who may not be able to read them.
func readImport(cmd *cobra.Command, args []string, f importFlags) (*importer.Source, *importer.Found, error) {
	format, file := args[0], args[1]
	s := &importer.Source{Format: format, File: file, Mailboxes: f.mailboxes, ClientConfig: f.clientConfig, CacheStore: f.cacheStore}
	switch {
	case f.passwordStdin && file == "-":
		return nil, nil, hint.Usage(errors.New("standard input cannot hold both the password and the file"), "name the file: authferry import %s FILE --password-stdin", format)
	case f.passwordStdin && format != "email-oauth2-proxy":
		return nil, nil, hint.Usage(fmt.Errorf("the files of %s are not encrypted with the password of a mail program", format), "omit --password-stdin")
	case f.keepPassword && !f.passwordStdin:
		return nil, nil, hint.Usage(errors.New("there is no password to keep"), "add --password-stdin, and pipe in the password that mail programs send")
	}
	found, err := readSource(cmd, s, f)
	if err != nil {
		name := file
		if file == "-" {
			name = "standard input"
		}
		return nil, nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return s, found, nil
}

func readSource(cmd *cobra.Command, s *importer.Source, f importFlags) (found *importer.Found, err error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	content, err := readContent(cmd, s)
	if err != nil {
		return nil, err
	}
	s.Content = secret.String(content)
	if f.passwordStdin {
		if s.Password, err = readPassword(cmd); err != nil {
			return nil, hint.Usage(fmt.Errorf("--password-stdin: %w", err), "pipe in the password that mail programs send, and nothing else")
		}
	}
	return s.Read()
}

// readContent reads a file or standard input. A token may be typed, without an echo.
func readContent(cmd *cobra.Command, s *importer.Source) ([]byte, error) {
	in := cmd.InOrStdin()
	if s.File == "-" {
		if f, ok := in.(*os.File); ok && logging.IsTerminal(f) {
			if s.Format != "token" {
				return nil, hint.Usage(errors.New("standard input is a terminal"), "name the file, or pipe it in")
			}
			fmt.Fprint(cmd.ErrOrStderr(), "Refresh token: ")
			typed, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(cmd.ErrOrStderr())
			return typed, err
		}
	} else {
		f, err := os.Open(s.File)
		if err != nil {
			return nil, withoutPath(err)
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, importer.Limit+1))
	if err == nil && len(content) > importer.Limit {
		err = fmt.Errorf("it is larger than %d MB, so it is not such a file", importer.Limit>>20)
	}
	return content, withoutPath(err)
}

// withoutPath returns an error of the file system without the path, which the
// message already has.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

func runImport(ctx context.Context, cmd *cobra.Command, c *config.Config, vault *tokens.Vault, s *importer.Source, found *importer.Found, f importFlags) error {
	m := &importer.Import{
		Found: found, Format: s.Format,
		Vault: vault, Providers: c.Settings.Providers, ConfigFile: c.File, Dir: c.StateDir, Path: c.StatePath,
		NoCheck: f.noCheck, PrintConfig: f.printConfig,
		Out: cmd.OutOrStdout(), Messages: cmd.ErrOrStderr(),
		Connected: func(done *onboard.Result) { printConnected(cmd, done) },
	}
	if f.keepPassword {
		m.Password = s.Password
	}
	name := f.provider
	if name == "" && s.Format == "token" {
		name = "gmail"
	}
	if name != "" {
		var err error
		if m.Provider, err = findProvider(c, name); err != nil {
			return err
		}
	}
	return m.Run(ctx)
}
