// Package form reads the fields of the console's forms about local passwords. The
// form for a password and the form for an invitation share it, so that both refuse
// the same values in the same words.
package form

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"authferry/internal/console/pages"
	"authferry/internal/network"
	"authferry/internal/protocol"
	"authferry/tokens"
)

// Complaint is what is wrong with a field of a form.
type Complaint struct {
	Field string
	Key   string // of the text
	Pairs []any  // for its placeholders
}

// Complaints is all that is wrong with a form.
type Complaints []Complaint

func (c Complaints) Error() string { return c[0].Key }

// Text returns the texts of all complaints, each once.
func (c Complaints) Text(p pages.Printer) string {
	var texts []string
	for _, one := range c {
		if text := p.Say(one.Key, one.Pairs); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " ")
}

// Reader parses the fields of a form about a local password by the rules of
// [tokens.PasswordSpec], and collects what breaks them in Wrong.
type Reader struct{ Wrong Complaints }

// Complain adds a complaint about a field that has none. key is that of a text
// under "password".
func (r *Reader) Complain(field, key string, pairs ...any) {
	if !slices.ContainsFunc(r.Wrong, func(c Complaint) bool { return c.Field == field }) {
		r.Wrong = append(r.Wrong, Complaint{field, "password." + key, pairs})
	}
}

// Protocols reads check boxes. In a [tokens.PasswordSpec] no protocol means all of
// them; in a form it is a mistake.
func (r *Reader) Protocols(chosen []protocol.Protocol) []protocol.Protocol {
	if len(chosen) == 0 {
		r.Complain(tokens.FieldProtocols, "noprotocol")
	}
	if len(chosen) == len(protocol.All) {
		return nil
	}
	return chosen
}

// Networks reads a list of networks.
func (r *Reader) Networks(text string) []netip.Prefix {
	list, err := network.ParseList(text)
	switch e, _ := errors.AsType[*network.Error](err); {
	case e == nil:
	case e.Network.IsValid():
		r.Complain(tokens.FieldNetworks, "innetwork", "text", e.Text, "network", e.Network, "address", e.Address)
	default:
		r.Complain(tokens.FieldNetworks, "nonetwork", "text", e.Text)
	}
	return list
}

// LastDay reads the value of a date input and returns the end of that day.
func (r *Reader) LastDay(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		r.Complain(tokens.FieldExpires, "noday")
		return time.Time{}
	}
	return day.AddDate(0, 0, 1)
}

// Number reads a number that a field of [tokens.PasswordSpec] takes.
func (r *Reader) Number(field, text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if c := tokens.CheckNumber(field, n); err != nil || c != nil {
		c = tokens.CheckNumber(field, -1)
		r.Complain(field, c.Rule, "least", c.Least, "most", c.Most)
		return 0
	}
	return n
}

// Check applies the rules to what has been read.
func (r *Reader) Check(s *tokens.PasswordSpec, now time.Time) {
	all, _ := errors.AsType[tokens.Complaints](s.Check(now))
	for _, c := range all {
		r.Complain(c.Field, c.Rule, "least", c.Least, "most", c.Most, "text", "")
	}
}
