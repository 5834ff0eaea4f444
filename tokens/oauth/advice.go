package oauth

import (
	"fmt"
	"net/url"
	"strings"

	"authferry/internal/printable"
)

// Advice is what to tell people about a failure: what it means, what to do about it, and
// the page to do it on, if there is one.
type Advice struct {
	Words string
	Fix   string
	Page  string
}

// The pages that advice names.
const (
	googleAudience    = "https://console.cloud.google.com/auth/audience"
	googleClients     = "https://console.cloud.google.com/auth/clients"
	googleKeys        = "https://console.cloud.google.com/iam-admin/serviceaccounts"
	googleDelegation  = "https://admin.google.com/ac/owl/domainwidedelegation"
	googleApps        = "https://admin.google.com/ac/owl/list?tab=configuredApps"
	googleSession     = "https://admin.google.com/ac/security/reauth/admin-tools"
	googleUsers       = "https://admin.google.com/ac/users"
	googleConnections = "https://myaccount.google.com/connections"

	microsoftClients     = "https://entra.microsoft.com/#view/Microsoft_AAD_RegisteredApps/ApplicationsListBlade"
	microsoftEntra       = "https://entra.microsoft.com"
	microsoftConnections = "https://myapps.microsoft.com"
	microsoftConsent     = "https://account.live.com/consent/Manage" // personal accounts
)

// vendor is the company whose consoles a provider uses.
type vendor string

const (
	google    vendor = "google"
	microsoft vendor = "microsoft"
)

// vendorOf returns the vendor by the provider's addresses, or else by its name. Like the
// functions below it accepts nil: a provider that is no longer configured.
func vendorOf(p *Provider) vendor {
	if p == nil {
		return ""
	}
	hosts := p.IMAP.Host + " " + p.SMTP.Host + " " + p.POP3.Host
	for _, address := range []string{p.TokenURL, p.AuthURL} {
		if u, err := url.Parse(address); err == nil {
			hosts += " " + u.Hostname()
		}
	}
	switch {
	case strings.Contains(hosts, "googleapis.com"), strings.Contains(hosts, ".gmail.com"), p.Name == "gmail":
		return google
	case strings.Contains(hosts, "login.microsoftonline."), strings.Contains(hosts, ".office365.com"), p.Name == "microsoft":
		return microsoft
	}
	return ""
}

// pageOf selects the page of the provider's vendor.
func pageOf(p *Provider, ofGoogle, ofMicrosoft string) string {
	return map[vendor]string{google: ofGoogle, microsoft: ofMicrosoft}[vendorOf(p)]
}

// connectionsPage is [Provider.ConnectionsPage].
func connectionsPage(p *Provider) string {
	if vendorOf(p) == microsoft && strings.Contains(p.AuthURL, "/consumers/") {
		return microsoftConsent
	}
	return pageOf(p, googleConnections, microsoftConnections)
}

// titleOf returns the provider's name for people.
func titleOf(p *Provider) string {
	if p == nil || p.Name == "" {
		return "the provider"
	}
	return p.Name
}

// tableOf returns the table that configures the provider.
func tableOf(p *Provider) string {
	if p == nil || p.Name == "" {
		return "the provider's table"
	}
	return "[provider." + p.Name + "]"
}

func flowOf(p *Provider) Flow {
	if p == nil {
		return FlowConsent
	}
	return p.Flow
}

// tokenServiceOf names the token endpoint for people: if a text says that the provider
// is down, they look at their mail, which works.
func tokenServiceOf(p *Provider) string {
	if p != nil {
		if u, err := url.Parse(p.TokenURL); err == nil && u.Host != "" {
			return fmt.Sprintf("the token service of %s (%s)", titleOf(p), u.Host)
		}
	}
	return "the token service of " + titleOf(p)
}

// Advice explains a cause to the owner of a mailbox. p is nil if the provider is no
// longer configured.
func (c Cause) Advice(mailbox string, p *Provider) Advice {
	connect := "run authferry connect " + mailbox
	switch c {
	case CauseRevoked:
		return Advice{Words: titleOf(p) + " has ended the grant: it was revoked, the account's password changed, or it was unused for too long", Fix: connect}
	case CauseTesting:
		if vendorOf(p) == google {
			return Advice{
				Words: "the grant has expired: after seven days, while the consent screen is in Testing",
				Fix:   "publish it (In production), then " + connect, Page: googleAudience,
			}
		}
		return Advice{Words: "the grant has expired, as " + titleOf(p) + " limited its life", Fix: connect}
	case CauseSessionControl:
		return Advice{
			Words: "the session control of the mailbox's domain requires its owner to sign in again",
			Fix:   connect, Page: pageOf(p, googleSession, microsoftEntra),
		}
	case CauseNoGrant:
		return Advice{Words: "the mailbox is not connected: its owner has not signed in yet, or it was disconnected", Fix: connect}
	case CauseInteraction:
		if !flowOf(p).NeedsPerson() {
			return Advice{
				Words: titleOf(p) + " requires a person to sign in, which an application cannot",
				Fix:   "exempt the client from the domain's sign-in rules (conditional access)", Page: pageOf(p, googleApps, microsoftEntra),
			}
		}
		return Advice{Words: titleOf(p) + " requires the mailbox's owner to sign in (second factor, rules of the domain, or a new consent)", Fix: connect}
	case CauseUnknownUser:
		return Advice{
			Words: titleOf(p) + " knows no user " + mailbox,
			Fix:   "check the address and whether the account still exists", Page: pageOf(p, googleUsers, microsoftEntra),
		}
	case CausePolicy, CauseClientDeleted, CauseClient, CauseDelegation:
		return c.clientAdvice(p)
	}
	return c.passingAdvice(p)
}

// clientAdvice is for causes that the administrator of authferry or of the domain fixes.
func (c Cause) clientAdvice(p *Provider) Advice {
	id := ""
	if p != nil && p.ClientID != "" {
		id = " " + printable.Quote(p.ClientID)
	}
	switch {
	case c == CausePolicy:
		return Advice{
			Words: "the administrator of the mailbox's domain does not allow authferry's OAuth client",
			Fix:   "ask the administrator to trust the client id" + id, Page: pageOf(p, googleApps, microsoftEntra),
		}
	case c == CauseClientDeleted:
		return Advice{
			Words: "authferry's OAuth client at " + titleOf(p) + " was deleted or disabled",
			Fix:   "restore it, or make a new one and name it in " + tableOf(p), Page: pageOf(p, googleClients, microsoftClients),
		}
	case c == CauseDelegation && flowOf(p) == FlowServiceAccount:
		if p.ServiceAccount != nil && p.ServiceAccount.Client != "" {
			id = " " + printable.Quote(p.ServiceAccount.Client)
		}
		return Advice{
			Words: "the service account may not act for this mailbox",
			Fix:   "delegate the scope " + strings.Join(p.Scopes, " ") + " to its client id" + id, Page: googleDelegation,
		}
	case c == CauseDelegation:
		return Advice{
			Words: "authferry's OAuth client at " + titleOf(p) + " may not access this mailbox",
			Fix:   "grant it the application permissions of " + tableOf(p) + " and full access to the mailbox", Page: pageOf(p, googleDelegation, microsoftClients),
		}
	case flowOf(p) == FlowServiceAccount:
		return Advice{
			Words: titleOf(p) + " does not accept the service account's key",
			Fix:   "make a new key and name it in " + tableOf(p), Page: pageOf(p, googleKeys, ""),
		}
	}
	return Advice{
		Words: titleOf(p) + " does not accept authferry's OAuth client",
		Fix:   "check its id and its secret or certificate in " + tableOf(p), Page: pageOf(p, googleClients, microsoftClients),
	}
}

// passingAdvice is for causes that do not concern the grant.
func (c Cause) passingAdvice(p *Provider) Advice {
	const again = "nothing needs to be done: authferry tries again"
	switch c {
	case CauseClock:
		return Advice{Words: "the clock of the machine that authferry runs on is wrong", Fix: "set it and synchronize it: timedatectl set-ntp true"}
	case CauseCommand:
		return Advice{Words: "the token_command of " + tableOf(p) + " failed", Fix: "run it as the user that authferry runs as, and read its output"}
	case CauseThrottled:
		return Advice{Words: tokenServiceOf(p) + " limits the rate of calls", Fix: again}
	case CauseOutage:
		return Advice{Words: tokenServiceOf(p) + " has an outage", Fix: again}
	case CauseUnreachable:
		return Advice{Words: tokenServiceOf(p) + " cannot be reached", Fix: again + "; if it lasts, check this machine's network and firewall"}
	}
	return Advice{}
}
