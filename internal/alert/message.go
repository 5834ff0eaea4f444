package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"authferry/internal/printable"
	"authferry/tokens/oauth"
)

// Message is one event of one or more mailboxes at one provider, as hooks get it.
type Message struct {
	Event     Event
	Cause     oauth.Cause
	Provider  string
	Mailboxes []Condition // those without an earlier alert come first
	Reminder  bool        // all of them had an alert before
	Host      string      // the host that sends it
	Time      time.Time
}

// mostListed bounds how many mailboxes a message names.
const mostListed = 100

// body is the JSON of a message: stable names, for scripts. Slack,
// Mattermost, Teams and Matrix bridges read only Text; Content is the
// same for Discord (https://discord.com/developers/docs/resources/webhook).
type body struct {
	Text      string        `json:"text"`
	Content   string        `json:"content,omitempty"`
	Event     Event         `json:"event"`
	Cause     oauth.Cause   `json:"cause"`
	Provider  string        `json:"provider"`
	Count     int           `json:"count"`
	Mailboxes []mailboxBody `json:"mailboxes"`
	Reminder  bool          `json:"reminder"`
	Words     string        `json:"words"`
	Fix       string        `json:"fix"`
	Page      string        `json:"page,omitempty"`
	Host      string        `json:"host"`
	Time      time.Time     `json:"time"`
}

type mailboxBody struct {
	Mailbox string    `json:"mailbox"`
	At      time.Time `json:"at,omitzero"`
	Since   time.Time `json:"since,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Fix     string    `json:"fix,omitempty"`
}

// mostContent is the longest content that Discord takes.
const mostContent = 2000

func (m Message) body() body {
	advice := m.advice()
	b := body{
		Text: m.Text(), Content: printable.Cut(m.Text(), mostContent), Event: m.Event, Cause: m.Cause, Provider: m.Provider,
		Count: len(m.Mailboxes), Mailboxes: []mailboxBody{}, Reminder: m.Reminder,
		Words: advice.Words, Fix: advice.Fix, Page: advice.Page, Host: m.Host, Time: m.Time.UTC(),
	}
	for _, is := range m.listed() {
		b.Mailboxes = append(b.Mailboxes, mailboxBody{is.Mailbox, is.At, is.Since, is.Reason, is.Advice.Fix})
	}
	return b
}

// MarshalJSON returns the JSON for the command and the webhook.
func (m Message) MarshalJSON() ([]byte, error) { return json.Marshal(m.body()) }

func (m Message) listed() []Condition { return m.Mailboxes[:min(len(m.Mailboxes), mostListed)] }

// advice returns the advice of the first mailbox: all have the same cause.
func (m Message) advice() oauth.Advice {
	if len(m.Mailboxes) == 0 {
		return oauth.Advice{}
	}
	return m.Mailboxes[0].Advice
}

// who returns the name of the mailbox, or the number of mailboxes.
func (m Message) who() string {
	if len(m.Mailboxes) == 1 {
		return m.Mailboxes[0].Mailbox
	}
	return fmt.Sprintf("%d mailboxes at %s", len(m.Mailboxes), m.Provider)
}

// Subject returns the message in one line.
func (m Message) Subject() string {
	one := len(m.Mailboxes) == 1
	verb := func(single, many string) string {
		if one {
			return single
		}
		return many
	}
	s := m.who() + " "
	switch m.Event {
	case GrantEnding:
		s += "must be connected again soon"
	case GrantEnded:
		s += "must be connected again"
	case Refused:
		s += verb("is", "are") + " refused by the provider"
	case Unreachable:
		s += verb("gets", "get") + " no new tokens"
	case Recovered:
		s += verb("works", "work") + " again"
	case Trial:
		return "this is a test"
	}
	if m.Reminder {
		s += " (reminder)"
	}
	return s
}

// Text returns the message for people.
func (m Message) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "authferry on %s: %s\n", m.Host, m.Subject())
	if m.Event == Trial {
		b.WriteString("If you can read it, alerts arrive.\n")
		return b.String()
	}
	advice := m.advice()
	for _, line := range []struct{ name, text string }{{"What", advice.Words}, {"Fix", advice.Fix}, {"Page", advice.Page}} {
		if line.text != "" && m.Event != Recovered {
			fmt.Fprintf(&b, "%s: %s\n", line.name, line.text)
		}
	}
	for _, is := range m.listed() {
		fmt.Fprintf(&b, "- %s%s\n", is.Mailbox, is.when())
	}
	if more := len(m.Mailboxes) - mostListed; more > 0 {
		fmt.Fprintf(&b, "- and %d more: authferry status lists them all\n", more)
	}
	return b.String()
}

// when returns an absolute time, because messages are read later.
func (is Condition) when() string {
	const form = "2006-01-02 15:04 MST"
	switch {
	case is.Event == GrantEnding:
		return ", until " + is.At.Local().Format(form)
	case is.Event != "" && is.Event != Recovered && !is.Since.IsZero():
		return ", since " + is.Since.Local().Format(form)
	}
	return ""
}

// NewTrial returns a test message.
func NewTrial(host string, now time.Time) Message {
	return Message{Event: Trial, Host: host, Time: now}
}
