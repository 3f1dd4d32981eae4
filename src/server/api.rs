//! The server's functions. They are looked up once, at load: what every supported server has is
//! required then, what some lack is asked for where it is used.

/// Calls a function of the list at the end of this file. Must stand in an `unsafe` block.
macro_rules! api {
    ($name:ident($($arg:expr),* $(,)?)) => {
        match redis_module::raw::$name {
            Some(function) => function($($arg),*),
            None => $crate::server::api::missing(stringify!($name)),
        }
    };
}
pub(crate) use api;

/// A required function is not there, though it was at load. Unwinds to the entry guard.
#[cold]
pub fn missing(name: &str) -> ! {
    panic!("the server lacks {name}");
}

/// Makes `first_missing` out of a list of functions.
macro_rules! required {
    ($($name:ident)*) => {
        /// The first required function that the server lacks.
        pub fn first_missing() -> Option<&'static str> {
            $(
                // SAFETY: read on the main thread after the server filled in its functions.
                let function = unsafe { redis_module::raw::$name };
                if function.is_none() {
                    return Some(stringify!($name));
                }
            )*
            None
        }
    };
}

// What every supported server has and the module uses.
required! {
    RedisModule_Alloc RedisModule_Calloc RedisModule_Realloc RedisModule_Free RedisModule_MallocSize

    RedisModule_SetModuleOptions RedisModule_Log
    RedisModule_CreateCommand RedisModule_CreateSubcommand RedisModule_GetCommand
    RedisModule_SetCommandInfo RedisModule_IsKeysPositionRequest RedisModule_KeyAtPos
    RedisModule_CreateDataType
    RedisModule_RegisterNumericConfig RedisModule_RegisterBoolConfig RedisModule_LoadConfigs
    RedisModule_RegisterInfoFunc RedisModule_InfoAddSection RedisModule_InfoAddFieldULongLong
    RedisModule_SubscribeToServerEvent RedisModule_SubscribeToKeyspaceEvents

    RedisModule_StringPtrLen RedisModule_CreateString RedisModule_FreeString
    RedisModule_GetContextFlags RedisModule_GetClientId RedisModule_GetSelectedDb RedisModule_SelectDb
    RedisModule_GetUsedMemoryRatio

    RedisModule_OpenKey RedisModule_CloseKey RedisModule_KeyType RedisModule_UnlinkKey
    RedisModule_ModuleTypeGetType RedisModule_ModuleTypeGetValue RedisModule_ModuleTypeSetValue
    RedisModule_SetAbsExpire RedisModule_GetAbsExpire RedisModule_GetDbIdFromModuleKey
    RedisModule_ZsetFirstInScoreRange RedisModule_ZsetRangeCurrentElement
    RedisModule_ZsetRangeNext RedisModule_ZsetRangeStop

    RedisModule_ReplyWithError RedisModule_ReplyWithSimpleString RedisModule_ReplyWithLongLong
    RedisModule_ReplyWithStringBuffer RedisModule_ReplyWithNull RedisModule_ReplyWithNullArray
    RedisModule_ReplyWithArray RedisModule_ReplyWithMap RedisModule_ReplyWithDouble RedisModule_ReplyWithCallReply

    RedisModule_Replicate RedisModule_ReplicateVerbatim RedisModule_SignalModifiedKey
    RedisModule_NotifyKeyspaceEvent
    RedisModule_Call RedisModule_CallReplyType RedisModule_FreeCallReply
    RedisModule_CallReplyArrayElement RedisModule_CallReplyStringPtr
    RedisModule_CallReplyInteger

    RedisModule_GetModuleUserFromUserName RedisModule_ACLCheckKeyPermissions RedisModule_FreeModuleUser

    RedisModule_CreateTimer RedisModule_StopTimer
    RedisModule_BlockClientOnKeys RedisModule_UnblockClient RedisModule_SetDisconnectCallback
    RedisModule_GetBlockedClientPrivateData

    RedisModule_SaveStringBuffer RedisModule_LoadStringBuffer RedisModule_IsIOError
    RedisModule_EmitAOF RedisModule_DigestAddStringBuffer RedisModule_DigestEndSequence
}
