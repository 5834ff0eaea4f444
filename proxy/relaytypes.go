package proxy

type (
	relaySender = Sender
	relayFilter = Filter
)
