package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"authferry/internal/address"
	"authferry/internal/network"
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
	Trouble, Detail       string
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

// complaint is what is wrong with a form.
type complaint struct {
	key, detail string
	pairs       []any // for the placeholders of the text
}

func (c *complaint) Error() string { return c.key }

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
		return i, &complaint{key: "invite.bad.for"}
	}
	p := s.chosen(f.Provider)
	if p == nil || !p.Flow.NeedsPerson() {
		return i, &complaint{key: "invite.bad.provider"}
	}
	i.Provider = p.Name
	if f.SignIn != "" {
		if i.SignIn, _ = s.vault.Canonical(f.SignIn); i.Mailbox == "" || address.Check(i.SignIn) != nil {
			return i, &complaint{key: "connect.bad.signin"}
		}
		if i.SignIn == i.Mailbox {
			i.SignIn = ""
		}
	}
	if f.Hours < 1 || time.Duration(f.Hours)*time.Hour > mostInvitationLife {
		return i, &complaint{key: "invite.bad.hours"}
	}
	if !f.Password {
		return i, nil
	}
	i.Offer, err = f.offer()
	if err != nil {
		return i, err
	}
	spec := i.Offer.spec(s.now())
	if err := spec.Check(s.now()); err != nil {
		return i, &complaint{key: "invite.bad.password", detail: err.Error()}
	}
	return i, nil
}

// offer reads what the password will be.
func (f *inviteForm) offer() (o Offer, err error) {
	o = Offer{Name: f.Name, ReadOnly: f.ReadOnly}
	if len(f.Protocols) == 0 {
		return o, &complaint{key: "invite.bad.protocols"}
	}
	if len(f.Protocols) < 3 {
		o.Protocols = f.Protocols
	}
	if o.Networks, err = network.ParseList(f.Networks); err != nil {
		key, pairs := networkText(err)
		return o, &complaint{key: key, pairs: pairs}
	}
	for _, number := range []struct {
		text string
		into *int
		most int
	}{{f.Days, &o.Days, 3650}, {f.Messages, &o.MessagesPerHour, 10_000}, {f.Recipients, &o.Recipients, 10_000}} {
		if number.text == "" {
			continue
		}
		n, err := strconv.Atoi(number.text)
		if err != nil || n < 1 || n > number.most {
			return o, &complaint{key: "invite.bad.number", detail: fmt.Sprintf("%s: 1-%d", quoteText(number.text), number.most)}
		}
		*number.into = n
	}
	return o, nil
}
