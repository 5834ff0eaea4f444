package mailsettings

import (
	"slices"
	"strconv"
	"strings"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// Card is what to type into one program, in the order and the words of its screen.
type Card struct {
	Program string `json:"program"` // as in [CardPrograms]
	Title   string `json:"title"`
	// Problem says why the program cannot be used, and what to do; there are no
	// fields then.
	Problem string      `json:"problem,omitempty"`
	Fields  []CardField `json:"fields,omitempty"`
	Notes   []string    `json:"notes,omitempty"`
	// File is the name of a configuration file with all settings, and Content is
	// its content.
	File    string `json:"file,omitempty"`
	Content string `json:"content,omitempty"`
}

// CardField is one field of a program's screen.
type CardField struct {
	Label string `json:"label"`
	Value string `json:"value"`
	// Password says that the local password goes here. Value says so in words, and
	// never holds the password.
	Password bool `json:"password,omitempty"`
}

// CardMailbox is the mailbox that a card is about.
type CardMailbox struct {
	Address string
	Alias   string // a short user name for devices, if there is one
	// OwnAuthority says that authferry's own authority has signed the certificate,
	// which programs do not trust unless they are told to.
	OwnAuthority bool
}

// CardPrograms returns the programs with cards, in the order to show them.
func CardPrograms() (ids []string) {
	for _, p := range cardPrograms {
		ids = append(ids, p.id)
	}
	return ids
}

// Cards returns the cards of all programs, in a language.
func Cards(m CardMailbox, services []Service, language string) (cards []Card) {
	for _, p := range cardPrograms {
		cards = append(cards, p.card(m, services, language))
	}
	return cards
}

// CardFor returns the card of one program; false: there is no such program.
func CardFor(id string, m CardMailbox, services []Service, language string) (Card, bool) {
	i := slices.IndexFunc(cardPrograms, func(p cardProgram) bool {
		return p.id == id || slices.Contains(p.alsoKnownAs, id)
	})
	if i < 0 {
		return Card{}, false
	}
	return cardPrograms[i].card(m, services, language), true
}

// cardProgram describes a program's screen.
type cardProgram struct {
	id, title   string
	alsoKnownAs []string
	reach       reach
	needs       []string  // the services it cannot do without: "in", "out"
	sendsOnly   bool      // it reads no mail
	imapOnly    bool      // it does not read by POP3
	cloud       bool      // no authority can be added to those it trusts
	startTLS    bool      // it sends by STARTTLS, if there is a choice
	rows        []cardRow // rows about a missing service are left out
	notes       []string  // keys of texts
	file        string    // name of its ready file; see files.go
}

// cardRow is a field: its label, which is the key of a text unless it begins with
// "=", and its value.
type cardRow struct {
	label string
	value func(*cardSubject) string
}

// cardSubject is what a card is made from.
type cardSubject struct {
	CardMailbox
	language string
	in, out  *Service // nil: there is none
}

func (p cardProgram) card(m CardMailbox, services []Service, language string) Card {
	s := &cardSubject{CardMailbox: m, language: language}
	for _, proto := range []protocol.Protocol{protocol.IMAP, protocol.POP3} {
		list := reachable(services, proto, p.reach)
		if len(list) > 0 && s.in == nil && !p.sendsOnly && !(p.imapOnly && proto != protocol.IMAP) {
			s.in = &list[0]
		}
	}
	if list := reachable(services, protocol.SMTP, p.reach); len(list) > 0 {
		s.out = &list[0]
		if i := slices.IndexFunc(list, Service.openStartTLS); p.startTLS && i > 0 {
			s.out = &list[i]
		}
	}
	card := Card{Program: p.id, Title: p.title, Problem: p.problem(s, services)}
	if card.Problem != "" {
		return card
	}
	for _, row := range p.rows {
		value := row.value(s)
		if value == "" {
			continue
		}
		label, literal := strings.CutPrefix(row.label, "=")
		if !literal {
			label = s.text(row.label)
		}
		card.Fields = append(card.Fields, CardField{label, value, value == s.text("value.password")})
	}
	for _, key := range p.notes {
		card.Notes = append(card.Notes, s.text(key))
	}
	if s.OwnAuthority && (s.in != nil && s.in.Security != proxy.Plain || s.out != nil && s.out.Security != proxy.Plain) {
		card.Notes = append(card.Notes, s.text(map[bool]string{true: "note.authority_cloud", false: "note.authority"}[p.cloud]))
	}
	if p.file != "" {
		card.File = p.file
		var known bool
		if card.Content, known = s.fill(p.id); !known {
			card.File, card.Notes = "", append(card.Notes, s.text("note.quote"))
		}
	}
	return card
}

// problem returns why the program cannot be used, or "".
func (p cardProgram) problem(s *cardSubject, services []Service) string {
	nowhere := s.in == nil && s.out == nil
	switch {
	case nowhere && p.reach == elsewhere && len(services) > 0:
		return s.text("problem.loopback", "program", p.title)
	case s.in == nil && slices.Contains(p.needs, "in"):
		return s.text("problem.in", "program", p.title)
	case s.out == nil && slices.Contains(p.needs, "out"):
		return s.text("problem.out", "program", p.title)
	}
	return ""
}

// text returns a text in the language of the card.
func (s *cardSubject) text(key string, pairs ...string) string {
	pairs = append(pairs, "address", s.Address)
	return say(s.language, key, pairs...)
}

// The values of fields. A field whose value is "" is left out.

func cardAddress(s *cardSubject) string  { return s.Address }
func cardPassword(s *cardSubject) string { return s.text("value.password") }
func cardNormal(s *cardSubject) string   { return s.text("value.normal") }

// cardUser returns the user name for devices, whose fields are short.
func cardUser(s *cardSubject) string {
	if s.Alias != "" {
		return s.Alias
	}
	return s.Address
}

// cardText returns a text that says what to choose.
func cardText(key string) func(*cardSubject) string {
	return func(s *cardSubject) string { return s.text(key) }
}

// cardLiteral returns a word of the screen itself.
func cardLiteral(words string) func(*cardSubject) string {
	return func(*cardSubject) string { return words }
}

func (s *cardSubject) service(incoming bool) *Service {
	if incoming {
		return s.in
	}
	return s.out
}

// about returns a value of the incoming or the outgoing service.
func about(incoming bool, value func(*cardSubject, *Service) string) func(*cardSubject) string {
	return func(s *cardSubject) string {
		if service := s.service(incoming); service != nil {
			return value(s, service)
		}
		return ""
	}
}

var (
	inProtocol  = about(true, func(_ *cardSubject, m *Service) string { return m.Protocol.Upper() })
	inHost      = about(true, func(_ *cardSubject, m *Service) string { return m.Host })
	inPort      = about(true, func(_ *cardSubject, m *Service) string { return strconv.Itoa(m.Port) })
	inSecurity  = about(true, securityWords)
	inSSL       = about(true, securityShort)
	inSwitch    = about(true, securitySwitch)
	outHost     = about(false, func(_ *cardSubject, m *Service) string { return m.Host })
	outPort     = about(false, func(_ *cardSubject, m *Service) string { return strconv.Itoa(m.Port) })
	outSecurity = about(false, securityWords)
	outSSL      = about(false, securityShort)
	outSwitch   = about(false, securitySwitch)
	// Fields that some programs have for the outgoing side as well.
	outPassword = about(false, func(s *cardSubject, _ *Service) string { return cardPassword(s) })
	outUser     = about(false, func(s *cardSubject, _ *Service) string { return s.Address })
	outNormal   = about(false, func(s *cardSubject, _ *Service) string { return cardNormal(s) })
)

// securityWords returns the words that most programs use.
func securityWords(s *cardSubject, m *Service) string {
	switch m.Security {
	case proxy.Plain:
		return s.text("value.none")
	case proxy.StartTLS:
		return "STARTTLS"
	}
	return "SSL/TLS"
}

// securityShort returns the words of forms that offer SSL, which is TLS from the
// first byte, and TLS, which is STARTTLS.
func securityShort(s *cardSubject, m *Service) string {
	switch m.Security {
	case proxy.Plain:
		return s.text("value.none")
	case proxy.StartTLS:
		return "TLS"
	}
	return "SSL"
}

// securitySwitch returns the state of a check box.
func securitySwitch(s *cardSubject, m *Service) string {
	if m.Security == proxy.Plain {
		return s.text("value.off")
	}
	return s.text("value.on")
}
