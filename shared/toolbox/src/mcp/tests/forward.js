// A server that is not content with answering: the tool `provoke` has it do what `how` says.
const say = message => process.stdout.write(JSON.stringify({jsonrpc: "2.0", ...message}) + "\n");
const answers = {};
let tools = [{name: "provoke", inputSchema: {type: "object"}}];
const on = {
    initialize: ({protocolVersion}) => ({
        protocolVersion, capabilities: {tools: {listChanged: true}},
        serverInfo: {name: "forward", version: "1"},
    }),
    "tools/list": () => ({tools}),
};
const provocations = {
    ask: () => {
        say({id: "ping", method: "ping"});
        say({id: "model", method: "sampling/createMessage", params: {messages: [], maxTokens: 1}});
        say({id: "files", method: "roots/list"});
        say({id: "person", method: "elicitation/create",
             params: {message: "?", requestedSchema: {type: "object", properties: {}}}});
        say({id: "else", method: "no/such/method"});
    },
    flood: () => {
        for (let n = 0; n < 20000; n++) {
            say({method: "notifications/message", params: {level: "info", data: "hunter2"}});
        }
    },
    change: id => {
        tools = [{name: "changed", inputSchema: {type: "object"}}];
        say({method: "notifications/tools/list_changed"});
        say({id, result: {content: []}});
    },
    end: () => process.exit(1),
};
console.error("hunter2");
process.stdout.write("no JSON\n{\"nor\": \"a message\"}\n");
require("readline").createInterface({input: process.stdin}).on("line", line => {
    const {id, method, params, result, error} = JSON.parse(line);
    if (method === "tools/call") {
        answers.call = id;
        provocations[params.arguments.how](id);
    } else if (method && id !== undefined) {
        say({id, result: on[method](params)});
    } else if (!method && id !== undefined) {
        answers[id] = result ?? error.code;
        if (Object.keys(answers).length === 6) {
            say({id: answers.call, result: {content: [], structuredContent: {...answers}}});
        }
    }
});
