package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/tokens"
)

// inviteForm is what an administrator says about an invitation.
type inviteForm struct {
	For, Provider, SignIn string
	Hours                 int
	Password              bool // make one
	Name                  string
	Protocols             []string
	Networks, Days        string
	ReadOnly              bool
	Messages, Recipients  string
	Trouble               string
}

// Has tells whether a protocol is chosen.
func (f inviteForm) Has(protocol string) bool { return slices.Contains(f.Protocols, protocol) }

func readInviteForm(r *http.Request) inviteForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	hours, err := strconv.Atoi(get("hours"))
	if err != nil {
		hours = int(invitationLife.Hours())
	}
	return inviteForm{
		For: get("for"), Provider: get("provider"), SignIn: get("sign_in"), Hours: hours,
		Password: get("password") != "", Name: get("name"),
		Protocols: r.PostForm["protocols"], Networks: get("networks"), Days: get("days"),
		ReadOnly: get("read_only") != "", Messages: get("messages"), Recipients: get("recipients"),
	}
}

// readInvitation makes an invitation of a form. What cannot work is refused
// now, and not when somebody has signed in for it.
func (s *signIns) readInvitation(f inviteForm) (i Invitation, err error) {
	mailbox, _ := s.vault.Canonical(f.For)
	switch domain := strings.TrimPrefix(strings.TrimPrefix(mailbox, "*"), "@"); {
	case address.Check(mailbox) == nil:
		i.Mailbox = mailbox
	case address.IsDomain(domain) && strings.Contains(domain, "."):
		i.Domain = domain
	default:
		return i, complaints{{key: "invite.bad.for"}}
	}
	p := s.chosen(f.Provider)
	if p == nil || !p.Flow.NeedsPerson() {
		return i, complaints{{key: "invite.bad.provider"}}
	}
	i.Provider = p.Name
	if f.SignIn != "" {
		if i.SignIn, _ = s.vault.Canonical(f.SignIn); i.Mailbox == "" || address.Check(i.SignIn) != nil {
			return i, complaints{{key: "connect.bad.signin"}}
		}
		if i.SignIn == i.Mailbox {
			i.SignIn = ""
		}
	}
	if f.Hours < 1 || time.Duration(f.Hours)*time.Hour > mostInvitationLife {
		return i, complaints{{key: "invite.bad.hours"}}
	}
	if !f.Password {
		return i, nil
	}
	i.Offer, err = f.offer(s.now())
	return i, err
}

// mostDays bounds how long the password of an invitation is good.
const mostDays = 3650

// offer reads what the password will be.
func (f *inviteForm) offer(now time.Time) (Offer, error) {
	var r passwordReader
	o := Offer{
		Name: f.Name, ReadOnly: f.ReadOnly,
		Protocols: r.protocols(f.Protocols), Networks: r.networks(f.Networks),
		MessagesPerHour: r.number(tokens.FieldMessages, f.Messages),
		Recipients:      r.number(tokens.FieldRecipients, f.Recipients),
	}
	if f.Days != "" {
		var err error
		if o.Days, err = strconv.Atoi(f.Days); err != nil || o.Days < 1 || o.Days > mostDays {
			r.complain("days", "nonumber", "least", 1, "most", mostDays)
			o.Days = 0
		}
	}
	spec := o.spec(now)
	r.check(&spec, now)
	if r.wrong != nil {
		return o, r.wrong
	}
	return o, nil
}
