package console

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"authferry/internal/network"
	"authferry/tokens"
)

// complaint is what is wrong with a field of a form.
type complaint struct {
	field string
	key   string // of the text
	pairs []any  // for its placeholders
}

// complaints are all that is wrong with a form.
type complaints []complaint

func (c complaints) Error() string { return c[0].key }

// complaintText puts the texts of complaints together, each once.
func (v *visit) complaintText(all complaints) string {
	var texts []string
	for _, c := range all {
		if text := v.T(c.key, c.pairs...); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " ")
}

// passwordReader parses the fields of a form about a local password. The rules
// are those of [tokens.PasswordSpec]; wrong is all that breaks them.
type passwordReader struct{ wrong complaints }

func (r *passwordReader) complain(field, key string, pairs ...any) {
	if !slices.ContainsFunc(r.wrong, func(c complaint) bool { return c.field == field }) {
		r.wrong = append(r.wrong, complaint{field, "password." + key, pairs})
	}
}

// protocols reads check boxes. To the rules, none is all; in a form it is a
// mistake.
func (r *passwordReader) protocols(chosen []string) []string {
	if len(chosen) == 0 {
		r.complain(tokens.FieldProtocols, "noprotocol")
	}
	if len(chosen) == len(mailProtocols) {
		return nil
	}
	return chosen
}

func (r *passwordReader) networks(text string) []netip.Prefix {
	list, err := network.ParseList(text)
	switch e, _ := errors.AsType[*network.Error](err); {
	case e == nil:
	case e.Network.IsValid():
		r.complain(tokens.FieldNetworks, "innetwork", "text", e.Text, "network", e.Network, "address", e.Address)
	default:
		r.complain(tokens.FieldNetworks, "nonetwork", "text", e.Text)
	}
	return list
}

// day reads the last day of a password, in the form of a date input.
func (r *passwordReader) day(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		r.complain(tokens.FieldExpires, "noday")
		return time.Time{}
	}
	return day.AddDate(0, 0, 1)
}

// number reads a number that a field of [tokens.PasswordSpec] takes.
func (r *passwordReader) number(field, text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if c := tokens.CheckNumber(field, n); err != nil || c != nil {
		c = tokens.CheckNumber(field, -1)
		r.complain(field, c.Rule, "least", c.Least, "most", c.Most)
		return 0
	}
	return n
}

// check adds what the rules have to say to what could not be read.
func (r *passwordReader) check(s *tokens.PasswordSpec, now time.Time) {
	all, _ := errors.AsType[tokens.Complaints](s.Check(now))
	for _, c := range all {
		r.complain(c.Field, c.Rule, "least", c.Least, "most", c.Most, "text", "")
	}
}
