package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"authferry/internal/alert"
	"authferry/internal/config"
	"authferry/internal/hint"
	"authferry/internal/protocol"
	"authferry/internal/view"
	"authferry/tokens"
	"authferry/tokens/store"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of all mailboxes, those that need attention first",
		Long: `Show the state of all mailboxes: what is wrong and since when, when a person is
needed next, and the last logins. Mailboxes that need a person come first. The
command reads the store and needs no running server; if one runs, the number of
its sessions is shown, too.

The exit code is 0 if all is well. It is 1 if a mailbox needs a person now or
within "ahead" of the [alert] table, has received no new tokens for longer than
its "after", or cannot be read.`,
		Example: `  authferry status
  authferry status --json
  authferry status > /dev/null || echo "authferry needs attention"`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withVault(cmd, func(ctx context.Context, c *config.Config, vault *tokens.Vault) error {
				report, err := statusOf(ctx, c, vault, liveSessions(ctx, c), time.Now())
				if err != nil {
					return err
				}
				if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
					err = printJSON(cmd.OutOrStdout(), report)
				} else {
					err = showStatus(cmd.OutOrStdout(), report)
				}
				return errors.Join(err, report.err())
			})
		},
	}
	cmd.Flags().Bool("json", false, "print JSON, for scripts")
	return cmd
}

// statusReport is what the command shows, and the stable shape of --json.
type statusReport struct {
	Well      bool            `json:"well"`
	Summary   string          `json:"summary"`
	Mailboxes []mailboxStatus `json:"mailboxes"`
}

// mailboxStatus is the status of one mailbox.
type mailboxStatus struct {
	view.Condition
	Event       alert.Event                     `json:"event,omitempty"` // empty: no alert is due
	Words       string                          `json:"words,omitempty"`
	PersonAt    *time.Time                      `json:"person_at,omitempty"` // when a person is needed next
	PersonDays  *int                            `json:"person_days,omitempty"`
	LastLogin   map[protocol.Protocol]time.Time `json:"last_login"` // by protocol
	Passwords   int                             `json:"passwords"`
	Sessions    *int                            `json:"sessions,omitempty"` // nil: no server runs
	needsPerson bool
}

// liveSessions counts the sessions of each mailbox; nil if no server answers.
func liveSessions(ctx context.Context, c *config.Config) map[string]int {
	client, err := adminClient(c)
	if err != nil {
		return nil
	}
	list, err := client.Sessions(ctx)
	if err != nil {
		return nil // everything else is in the store
	}
	live := map[string]int{}
	for _, s := range list {
		live[s.Mailbox]++
	}
	return live
}

func statusOf(ctx context.Context, c *config.Config, vault *tokens.Vault, live map[string]int, now time.Time) (statusReport, error) {
	names, err := vault.Mailboxes(ctx)
	if err != nil {
		return statusReport{}, err
	}
	r := statusReport{Mailboxes: []mailboxStatus{}}
	for _, name := range names {
		a, err := vault.Account(ctx, name)
		if errors.Is(err, store.ErrNoMailbox) { // removed meanwhile
			continue
		}
		var h mailboxStatus
		if err != nil {
			h = unreadable(name, err)
		} else {
			h = healthOf(c, vault, a, now)
		}
		if live != nil {
			n := live[name]
			h.Sessions = &n
		}
		r.Mailboxes = append(r.Mailboxes, h)
	}
	slices.SortStableFunc(r.Mailboxes, func(a, b mailboxStatus) int { return cmp.Compare(a.rank(), b.rank()) })
	r.summarize()
	return r, nil
}

// unreadable is a mailbox whose record is damaged or sealed with another key.
func unreadable(mailbox string, err error) mailboxStatus {
	return mailboxStatus{
		Condition: view.Condition{
			Mailbox: mailbox, Reason: err.Error(),
			Fix: fmt.Sprintf("restore its file from a backup, or run authferry mailbox remove %s", mailbox),
		},
		Words: "it cannot be read", needsPerson: true, LastLogin: map[protocol.Protocol]time.Time{},
	}
}

func healthOf(c *config.Config, vault *tokens.Vault, a *store.Account, now time.Time) mailboxStatus {
	at, certain := vault.NeedsPerson(a)
	is := c.Alert.Look(a, c.Settings.Providers[a.Provider], at, certain, now)
	h := mailboxStatus{
		Condition: view.Condition{
			Mailbox: a.Mailbox, Provider: a.Provider, State: vault.State(a),
			Cause: is.Cause, Reason: is.Reason, Fix: is.Advice.Fix, Page: is.Advice.Page, Since: view.Time(is.Since),
		},
		Event: is.Event, Words: is.Advice.Words, PersonAt: view.Time(at), needsPerson: is.Person(),
		LastLogin: map[protocol.Protocol]time.Time{}, Passwords: len(a.Passwords),
	}
	if f := a.Trouble; is.Event == "" && f != nil { // no alert is due yet
		h.Reason, h.Since = f.Reason, view.Time(f.Since)
	}
	if is.Event == alert.GrantEnded {
		h.PersonAt = view.Time(is.At)
	}
	if h.PersonAt != nil {
		days := int(h.PersonAt.Sub(now).Hours() / 24)
		h.PersonDays = &days
	}
	for _, p := range a.Passwords {
		if u := p.LastUsed; u.At.After(h.LastLogin[u.Protocol]) {
			h.LastLogin[u.Protocol] = u.At
		}
	}
	return h
}

// rank orders mailboxes by how soon they need attention.
func (h mailboxStatus) rank() int {
	switch {
	case h.State == "":
		return 0
	case h.Event == alert.GrantEnded, h.Event == alert.Refused:
		return 1
	case h.Event == alert.GrantEnding:
		return 2
	case h.Event == alert.Unreachable:
		return 3
	case h.Reason != "":
		return 4
	case h.State == store.StateDisconnected:
		return 6
	}
	return 5
}

// summarize counts the mailboxes by rank, in one line.
func (r *statusReport) summarize() {
	counts := map[int]int{}
	for _, h := range r.Mailboxes {
		counts[h.rank()]++
	}
	var parts []string
	for _, p := range []struct {
		rank      int
		one, many string
	}{
		{0, "cannot be read", "cannot be read"},
		{1, "needs a person now", "need a person now"},
		{2, "needs a person soon", "need a person soon"},
		{3, "gets no new tokens", "get no new tokens"},
	} {
		switch n := counts[p.rank]; n {
		case 0:
		case 1:
			parts = append(parts, "1 "+p.one)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, p.many))
		}
	}
	r.Well = len(parts) == 0
	r.Summary = fmt.Sprintf("%d mailboxes", len(r.Mailboxes))
	if len(r.Mailboxes) == 1 {
		r.Summary = "1 mailbox"
	}
	if r.Well {
		r.Summary += ", all well"
	} else {
		r.Summary += ": " + strings.Join(parts, ", ")
	}
}

// err returns what makes the exit code 1, with the first thing to do.
func (r statusReport) err() error {
	if r.Well {
		return nil
	}
	return hint.New(errors.New(r.Summary), "%s", cmp.Or(r.Mailboxes[0].Fix, "authferry mailbox show "+r.Mailboxes[0].Mailbox))
}

func showStatus(w io.Writer, r statusReport) error {
	if len(r.Mailboxes) == 0 {
		_, err := fmt.Fprintln(w, "No mailbox is connected yet; `authferry connect MAILBOX` connects one.")
		return err
	}
	rows := []string{row("MAILBOX", "PROVIDER", "STATE", "SINCE", "PERSON NEEDED", "LAST LOGIN", "PASSWORDS", "SESSIONS")}
	for _, h := range r.Mailboxes {
		sessions := ""
		if h.Sessions != nil {
			sessions = strconv.Itoa(*h.Sessions)
		}
		rows = append(rows, row(h.Mailbox, h.Provider, h.words(), moment(h.Since), h.person(), h.lastLogin(), strconv.Itoa(h.Passwords), sessions))
	}
	if err := columns(w, rows...); err != nil {
		return err
	}
	for _, h := range r.Mailboxes {
		if h.Event == "" && h.State != "" {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", h.Mailbox, cmp.Or(h.Words, h.Reason))
		for _, line := range []string{h.Reason, h.Fix, h.Page} {
			if line != "" && line != cmp.Or(h.Words, h.Reason) {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.Summary)
	return err
}

// words returns the state and its cause.
func (h mailboxStatus) words() string {
	switch {
	case h.State == "":
		return "unreadable"
	case h.Event == alert.GrantEnding:
		return "ends soon"
	case h.Cause != "":
		return fmt.Sprintf("%s (%s)", h.State, h.Cause)
	}
	return string(h.State)
}

// person returns when a person is needed, in days.
func (h mailboxStatus) person() string {
	switch {
	case h.PersonDays == nil && h.needsPerson:
		return "now"
	case h.PersonDays == nil:
		return ""
	case h.needsPerson && h.Event != alert.GrantEnding:
		return "now"
	case *h.PersonDays == 1:
		return "in 1 day"
	}
	return fmt.Sprintf("in %d days", *h.PersonDays)
}

// lastLogin returns the latest login of each protocol.
func (h mailboxStatus) lastLogin() string {
	var parts []string
	for _, p := range protocol.All {
		if at, ok := h.LastLogin[p]; ok {
			parts = append(parts, string(p)+" "+moment(&at))
		}
	}
	return strings.Join(parts, ", ")
}
