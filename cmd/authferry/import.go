package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"authferry/internal/address"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/importer"
	"authferry/internal/logging"
	"authferry/internal/secret"
	"authferry/tokens"
)

// importFlags are how a mailbox is taken over from another program.
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

// imported is what another program's files hold.
type imported struct {
	accounts []importer.Account
	domains  []importer.Domain
	listen   string // a suggestion for the configuration
	password secret.String
}

// formats read the files of other programs, by the name they go by.
var formats = map[string]func(*cobra.Command, string, importFlags) (*imported, error){
	"token":              importToken,
	"mutt_oauth2":        importSingle(importer.Mutt),
	"oama":               importSingle(importer.Oama),
	"sasl-xoauth2":       importSASLXOAUTH2,
	"email-oauth2-proxy": importEmailProxy,
}

func importCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FORMAT [FILE]",
		Short: "Take mailboxes over from another program",
		Long: `Take the grants over that another program was given, so that nobody has to sign
in again. FILE is what that program keeps; without it, standard input is read.

  token                a refresh token and nothing else; --mailbox says whose
  mutt_oauth2          a token file of mutt_oauth2.py, decrypted
  oama                 a record of oama, decrypted
  sasl-xoauth2         a token file of sasl-xoauth2, the plug-in for Postfix
  email-oauth2-proxy   its configuration; --password-stdin opens the grants in it

A grant is kept once it has been refreshed and has opened the mailbox. It only
works together with the OAuth client it was given to: clients that are not in
the configuration yet are printed, to be added to it, and their secrets are put
into files beside the mailboxes. Then run the same command again.`,
		Example: `  gpg --decrypt ~/.mutt/token | authferry import mutt_oauth2
  authferry import sasl-xoauth2 /etc/tokens/you@gmail.com
  authferry import email-oauth2-proxy emailproxy.config --password-stdin --keep-password < password.txt`,
		Args: importArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return slices.Sorted(maps.Keys(formats)), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cmd.SetContext(ctx)
			found, err := readImport(cmd, append(args, "-")[:2], f)
			if err != nil {
				return err
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				m := &mover{cmd: cmd, config: c, vault: vault, flags: f, imported: found}
				return m.move(ctx, args[0])
			})
		},
	}
	cmd.Flags().StringVar(&f.provider, "provider", "", "the `NAME` of a [provider.NAME] (default the one with the client that the file names)")
	cmd.Flags().StringSliceVar(&f.mailboxes, "mailbox", nil, "whose grant it is, where the file does not say; or those to take, where it has many")
	cmd.Flags().StringVar(&f.clientConfig, "client-config", "", "sasl-xoauth2: the `FILE` with the client (default /etc/sasl-xoauth2.conf if it is there)")
	cmd.Flags().StringVar(&f.cacheStore, "cache-store", "", "email-oauth2-proxy: the `FILE` it keeps its tokens in, if it was told one")
	cmd.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "email-oauth2-proxy: read the password its mail programs send from standard input")
	cmd.Flags().BoolVar(&f.keepPassword, "keep-password", false, "make that password a local password, so that mail programs need no change")
	cmd.Flags().BoolVar(&f.noCheck, "no-check", false, "keep the grants without trying them out, for a machine without a network")
	cmd.Flags().BoolVar(&f.printConfig, "print-config", false, "only print the configuration, secrets included, and change nothing")
	cmd.RegisterFlagCompletionFunc("provider", completeProviders)
	return cmd
}

func importArgs(_ *cobra.Command, args []string) error {
	known := strings.Join(slices.Sorted(maps.Keys(formats)), ", ")
	switch {
	case len(args) == 0:
		return hint.Usage(errors.New("import needs to know from which program"), "one of %s", known)
	case len(args) > 2:
		return hint.Usage(fmt.Errorf("import does not know what to do with %q", args[2]), "one file at a time: authferry import FORMAT FILE")
	case formats[args[0]] != nil:
		return nil
	}
	advice := "known are " + known
	if n := hint.Suggest(args[0], slices.Collect(maps.Keys(formats))); n != "" {
		advice = fmt.Sprintf("did you mean %s?", n)
	}
	return hint.Usage(fmt.Errorf("import does not know the format %q", args[0]), "%s", advice)
}

// readImport reads the files before the store is opened: that may mean to act
// as another user, who cannot read them.
func readImport(cmd *cobra.Command, args []string, f importFlags) (*imported, error) {
	format, file := args[0], args[1]
	switch {
	case f.passwordStdin && file == "-":
		return nil, hint.Usage(errors.New("standard input cannot hold the password and the file both"), "name the file: authferry import %s FILE --password-stdin", format)
	case f.passwordStdin && format != "email-oauth2-proxy":
		return nil, hint.Usage(fmt.Errorf("what %s keeps is not encrypted with a password of mail programs", format), "leave --password-stdin out")
	case f.keepPassword && !f.passwordStdin:
		return nil, hint.Usage(errors.New("there is no password to keep"), "add --password-stdin, and pipe in the one that mail programs send")
	}
	found, err := formats[format](cmd, file, f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", nameOf(file), err)
	}
	return found, nil
}

func nameOf(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// readWhole reads a file, or standard input, as far as such files go.
func readWhole(cmd *cobra.Command, file string) ([]byte, error) {
	in := cmd.InOrStdin()
	if file == "-" {
		if f, ok := in.(*os.File); ok && logging.IsTerminal(f) {
			return nil, hint.Usage(errors.New("nothing is piped in"), "name the file, or pipe it in")
		}
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, bare(err)
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, importer.Limit+1))
	if err == nil && len(content) > importer.Limit {
		err = fmt.Errorf("it is larger than %d MB, so it is not such a file", importer.Limit>>20)
	}
	return content, bare(err)
}

// bare is an error of the file system without the path, which the sentence has.
func bare(err error) error {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func importToken(cmd *cobra.Command, file string, f importFlags) (*imported, error) {
	if len(f.mailboxes) != 1 {
		return nil, hint.Usage(errors.New("a token does not say whose it is"), "add --mailbox you@gmail.com")
	}
	content, err := readTyped(cmd, file)
	if err != nil {
		return nil, err
	}
	token, err := importer.Token(content)
	if err != nil {
		return nil, err
	}
	return &imported{accounts: []importer.Account{{Mailbox: f.mailboxes[0], Refresh: token}}}, nil
}

// readTyped is readWhole of what a person may type, without an echo.
func readTyped(cmd *cobra.Command, file string) ([]byte, error) {
	if in, ok := cmd.InOrStdin().(*os.File); ok && file == "-" && logging.IsTerminal(in) {
		fmt.Fprint(cmd.ErrOrStderr(), "Refresh token: ")
		typed, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return typed, err
	}
	return readWhole(cmd, file)
}

// importSingle is the import of a file about one mailbox.
func importSingle(read func([]byte) (*importer.Account, error)) func(*cobra.Command, string, importFlags) (*imported, error) {
	return func(cmd *cobra.Command, file string, f importFlags) (*imported, error) {
		content, err := readWhole(cmd, file)
		if err != nil {
			return nil, err
		}
		a, err := read(content)
		if err != nil {
			return nil, err
		}
		return single(a, file, f)
	}
}

// single names the mailbox of a file about one: the file says, or the person,
// or the file's own name.
func single(a *importer.Account, file string, f importFlags) (*imported, error) {
	base := strings.TrimSuffix(filepath.Base(file), ".oama")
	switch {
	case len(f.mailboxes) > 1:
		return nil, hint.Usage(errors.New("it is about one mailbox"), "name one by --mailbox")
	case len(f.mailboxes) == 1 && a.Mailbox != "" && !strings.EqualFold(a.Mailbox, f.mailboxes[0]):
		return nil, hint.Usage(fmt.Errorf("it is about %q, not %q", a.Mailbox, f.mailboxes[0]), "leave --mailbox out, or name the file of that mailbox")
	case len(f.mailboxes) == 1:
		a.Mailbox = f.mailboxes[0]
	case a.Mailbox == "" && address.Check(base) == nil:
		a.Mailbox = base
	case a.Mailbox == "":
		return nil, hint.Usage(errors.New("it does not say whose grant it is"), "add --mailbox you@gmail.com")
	}
	return &imported{accounts: []importer.Account{*a}}, nil
}

const saslXOAUTH2Config = "/etc/sasl-xoauth2.conf"

func importSASLXOAUTH2(cmd *cobra.Command, file string, f importFlags) (*imported, error) {
	content, err := readWhole(cmd, file)
	if err != nil {
		return nil, err
	}
	path, named := f.clientConfig, f.clientConfig != ""
	if !named {
		path = saslXOAUTH2Config
	}
	configuration, err := os.ReadFile(path)
	if err != nil && named {
		return nil, hint.Usage(fmt.Errorf("the configuration of sasl-xoauth2: %w", err), "name the file that holds its client_id by --client-config")
	}
	if err != nil {
		configuration = nil // the token file may name the client itself
	}
	a, err := importer.SASLXOAUTH2(content, configuration)
	if err != nil {
		return nil, err
	}
	return single(a, file, f)
}

func importEmailProxy(cmd *cobra.Command, file string, f importFlags) (*imported, error) {
	content, err := readWhole(cmd, file)
	if err != nil {
		return nil, err
	}
	var cache []byte
	switch {
	case strings.HasPrefix(f.cacheStore, "aws:"):
		return nil, hint.Usage(errors.New("authferry does not read AWS Secrets Manager"),
			"start email-oauth2-proxy once with --cache-store FILE, so that it signs in anew into the file; or connect the mailboxes by authferry connect")
	case f.cacheStore != "":
		if cache, err = os.ReadFile(f.cacheStore); err != nil {
			return nil, fmt.Errorf("its cache store: %w", err)
		}
	}
	found := &imported{}
	if f.passwordStdin {
		if found.password, err = readPassword(cmd); err != nil {
			return nil, hint.Usage(fmt.Errorf("--password-stdin: %w", err), "pipe in the password that mail programs send, and nothing else")
		}
	}
	proxy, err := importer.ReadEmailProxy(content, cache, found.password, f.mailboxes...)
	if err != nil {
		return nil, err
	}
	found.accounts, found.domains, found.listen = proxy.Accounts, proxy.Domains, proxy.ListenTOML()
	return found, nil
}
