package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"authferry/internal/address"
	"authferry/internal/admin"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/mailsettings"
	"authferry/internal/server"
	"authferry/tokens"
	"authferry/tokens/store"
)

// settingsFlags are the flags of settings.
type settingsFlags struct {
	program  string
	language string
	json     bool
}

func settingsCommand() *cobra.Command {
	var f settingsFlags
	cmd := &cobra.Command{
		Use:   "settings MAILBOX",
		Short: "Show the settings for mail programs",
		Long: `Show the settings for using a mailbox in mail programs: a card for each program,
in the words of its own screens, with the hosts and ports of the listeners.

With --for, show one program. For programs that are configured by a file, that
file is printed, alone, on standard output:
` + strings.Join(programsWithFiles(), ", ") + `.
They contain no local password; create one with "authferry password add".`,
		Example: `  authferry settings you@gmail.com
  authferry settings you@gmail.com --for livespace --language pl
  authferry settings you@gmail.com --for mbsync > ~/.mbsyncrc
  authferry settings you@gmail.com --for mobileconfig > you.mobileconfig`,
		Args: takes("MAILBOX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				mailbox, _ := vault.Canonical(args[0])
				if err := address.Check(mailbox); err != nil {
					return hint.Usage(err, "usage: %s", cmd.UseLine())
				}
				if _, err := vault.Account(ctx, mailbox); errors.Is(err, store.ErrNoMailbox) {
					fmt.Fprintf(cmd.ErrOrStderr(), "authferry: warning: %v\n", err)
				} else if err != nil {
					return err
				}
				return showSettings(ctx, cmd, c, mailbox, f)
			})
		},
	}
	cmd.Flags().StringVar(&f.program, "for", "", "show one `PROGRAM`: "+strings.Join(settingsPrograms(), ", "))
	cmd.Flags().StringVar(&f.language, "language", mailsettings.Languages[0], "the `LANGUAGE`: "+strings.Join(mailsettings.Languages, ", "))
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, for scripts")
	cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(settingsPrograms(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("language", cobra.FixedCompletions(mailsettings.Languages, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// settingsFiles are files for programs that also have a card, by their name for
// --for.
var settingsFiles = []struct {
	name string
	make func(mailbox string, services []mailsettings.Service, local bool) ([]byte, error)
}{
	{"autoconfig", func(mailbox string, services []mailsettings.Service, local bool) ([]byte, error) {
		return mailsettings.Autoconfig(address.Domain(mailbox), services, local)
	}},
	{"mobileconfig", mailsettings.Profile},
	{"prf", mailsettings.OutlookProfile},
}

// settingsPrograms returns the values of --for.
func settingsPrograms() []string {
	programs := mailsettings.CardPrograms()
	for _, f := range settingsFiles {
		programs = append(programs, f.name)
	}
	return programs
}

// programsWithFiles returns the values of --for that print a file.
func programsWithFiles() []string {
	programs := mailsettings.ReadyFiles()
	for _, f := range settingsFiles {
		programs = append(programs, f.name)
	}
	return programs
}

// check refuses unknown programs and languages.
func (f settingsFlags) check() error {
	_, known := mailsettings.CardFor(f.program, mailsettings.CardMailbox{}, nil, f.language)
	programs := settingsPrograms()
	switch {
	case !slices.Contains(mailsettings.Languages, f.language):
		return hint.Usage(fmt.Errorf("there are no settings in %q", f.language), "--language takes %s", strings.Join(mailsettings.Languages, ", "))
	case f.program == "", known, slices.Contains(programs, f.program):
		return nil
	}
	advice := "--for takes " + strings.Join(programs, ", ") + "; other shows what every program asks for"
	if n := hint.Suggest(f.program, programs); n != "" {
		advice = fmt.Sprintf("did you mean --for %s?", n)
	}
	return hint.Usage(fmt.Errorf("there are no settings for %q", f.program), "%s", advice)
}

func showSettings(ctx context.Context, cmd *cobra.Command, c *config.Config, mailbox string, f settingsFlags) error {
	services := server.MailServices(c, boundAddresses(ctx, c))
	if len(services) == 0 {
		return hint.New(errors.New("the ports of the listeners are not known"), "start `authferry serve`, which assigns them")
	}
	out := cmd.OutOrStdout()
	for _, file := range settingsFiles {
		if file.name == f.program {
			content, err := file.make(mailbox, services, true)
			if err != nil {
				return hint.New(fmt.Errorf("making %s for %s: %w", file.name, mailbox, err), "`authferry settings %s --for other` shows the settings instead", mailbox)
			}
			_, err = out.Write(content)
			return err
		}
	}
	m := server.CardMailbox(c, mailbox)
	if f.program == "" {
		cards := mailsettings.Cards(m, services, f.language)
		if f.json {
			return printJSON(out, cards)
		}
		return printCards(out, cards)
	}
	card, _ := mailsettings.CardFor(f.program, m, services, f.language)
	switch {
	case f.json:
		return printJSON(out, card)
	case card.Problem != "":
		return errors.New(card.Problem)
	case card.Content != "":
		for _, note := range card.Notes {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
		_, err := io.WriteString(out, card.Content)
		return err
	}
	return printCards(out, []mailsettings.Card{card})
}

// printCards prints cards. For a file it prints how to get it.
func printCards(w io.Writer, cards []mailsettings.Card) error {
	for i, card := range cards {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, card.Title)
		if card.Problem != "" {
			fmt.Fprintf(w, "  %s\n", card.Problem)
			continue
		}
		rows := make([]string, len(card.Fields))
		for i, field := range card.Fields {
			rows[i] = row("  "+field.Label, field.Value)
		}
		if err := columns(w, rows...); err != nil {
			return err
		}
		if card.Content != "" {
			fmt.Fprintf(w, "  --for %s > %s\n", card.Program, card.File)
		}
		for _, note := range card.Notes {
			fmt.Fprintf(w, "  * %s\n", note)
		}
	}
	return nil
}

// boundAddresses returns the addresses that the running server listens on, by the URL
// in its configuration. It is empty if no server answers.
func boundAddresses(ctx context.Context, c *config.Config) map[string]string {
	bound := map[string]string{}
	if c.Admin == "" {
		return bound
	}
	status, err := admin.NewClient(c.Admin).Status(ctx)
	if err != nil {
		return bound
	}
	for _, l := range status.Listeners {
		bound[l.URL] = l.Address
	}
	return bound
}
